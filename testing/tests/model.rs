//! The model test agrees with itself, and turns red when a store is wrong.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::{
    Append, AppendError, Appended, EventAt, EventStore, EventStream, ExpectedRevision, ExpectedVersion, IdempotencyKey,
    NamedAppend, Namespace, Position, QueryItem, ReadAll, ReadStream, Revision, StateDelete, StateEntry, StateError,
    StateKey, StatePut, StateStore, Store, StoreError, StoreId, StreamId, Timestamp,
};
use recount_store_memory::MemoryStore;
use recount_testing::model;
use tokio::sync::watch;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn a_store_agrees_with_itself_and_every_kind_of_outcome_occurs() {
    let mut outcomes = model::Outcomes::new();
    for seed in 0..10 {
        for (kind, count) in block_on(model::run(seed, 1000, &MemoryStore::new(), &MemoryStore::new())) {
            *outcomes.entry(kind).or_default() += count;
        }
    }
    let kinds = [
        "append",
        "repeated append",
        "conflict",
        "key reused",
        "duplicate event",
        "invalid append",
        "read stream",
        "read all",
        "find append",
        "head",
        "archive",
        "erase",
        "stream not found",
        "stream erased",
        "get",
        "put",
        "delete",
        "mismatch",
        "list",
    ];
    for kind in kinds {
        assert!(outcomes.contains_key(kind), "no {kind} in {outcomes:?}");
    }
    assert!(outcomes["append"] > 1000 && outcomes["conflict"] > 500, "{outcomes:?}");
    assert!(!outcomes.contains_key("failed append") && !outcomes.contains_key("failed"), "{outcomes:?}");
}

/// A store with a defect. Each must be found within a few hundred steps.
#[derive(Clone, Copy, Debug)]
enum Defect {
    AnyPasses,
    ConditionIgnored,
    ConditionOffByOne,
    KeyIgnored,
    CategoryIsPrefix,
    LimitIgnored,
    EraseArchives,
    PrefixIgnoresCase,
    ExpectationIgnored,
}

struct Broken(MemoryStore, Defect);

#[async_trait]
impl EventStore for Broken {
    fn identity(&self) -> StoreId {
        self.0.identity()
    }
    async fn event_at(&self, position: Position) -> Result<EventAt, StoreError> {
        self.0.event_at(position).await
    }
    async fn append(&self, mut append: Append) -> Result<Appended, AppendError> {
        match (self.1, &mut append.condition) {
            (Defect::AnyPasses, _) => append.streams.iter_mut().for_each(|a| a.expected = ExpectedVersion::Any),
            (Defect::ConditionIgnored, condition) => *condition = None,
            (Defect::ConditionOffByOne, Some(condition)) => condition.after = condition.after.next(),
            (Defect::KeyIgnored, _) => append.idempotency = None,
            _ => {}
        }
        self.0.append(append).await
    }
    fn read_stream(&self, mut read: ReadStream) -> EventStream {
        if matches!(self.1, Defect::LimitIgnored) {
            read.limit = None;
        }
        self.0.read_stream(read)
    }
    fn read_all(&self, mut read: ReadAll) -> EventStream {
        let widen = |item: &mut QueryItem| item.category = item.category.take().filter(|name| &**name != "c");
        if matches!(self.1, Defect::CategoryIsPrefix) {
            read.query.items.iter_mut().for_each(widen);
        }
        self.0.read_all(read)
    }
    async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError> {
        self.0.find_append(key).await
    }
    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
        self.0.forget_keys(older_than, limit).await
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.0.head().await
    }
    fn watch(&self) -> watch::Receiver<Position> {
        self.0.watch()
    }
    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.0.archive(stream).await
    }
    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
        match self.1 {
            Defect::EraseArchives => self.0.archive(stream).await,
            _ => self.0.erase(stream).await,
        }
    }
    async fn health(&self) -> Result<(), StoreError> {
        self.0.health().await
    }
    async fn close(&self) {
        self.0.close().await;
    }
}

#[async_trait]
impl StateStore for Broken {
    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
        self.0.get(key).await
    }
    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        let expected = if matches!(self.1, Defect::ExpectationIgnored) { ExpectedRevision::Any } else { expected };
        self.0.put(key, value, expected, time_to_live).await
    }
    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        self.0.delete(key, expected).await
    }
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.0.now().await
    }
    async fn put_many(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
        self.0.put_many(puts).await
    }
    async fn delete_many(&self, deletes: Vec<StateDelete>) -> Result<(), StateError> {
        self.0.delete_many(deletes).await
    }
    async fn list(
        &self,
        namespace: Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        let lower = prefix.to_lowercase();
        let prefix = if matches!(self.1, Defect::PrefixIgnoresCase) { &lower } else { prefix };
        self.0.list(namespace, prefix, after, limit).await
    }
}

#[test]
fn every_defect_is_found() {
    use Defect::*;
    for defect in [
        AnyPasses,
        ConditionIgnored,
        ConditionOffByOne,
        KeyIgnored,
        CategoryIsPrefix,
        LimitIgnored,
        EraseArchives,
        PrefixIgnoresCase,
        ExpectationIgnored,
    ] {
        let run = || {
            let broken: &dyn Store = &Broken(MemoryStore::new(), defect);
            block_on(model::run(1, 1000, &MemoryStore::new(), broken))
        };
        let Err(panic) = std::panic::catch_unwind(run) else { panic!("{defect:?} was not found") };
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.starts_with("the stores differ with seed 1 in step "), "{message}");
    }
}

//! The suite turns red: each deliberate defect is found by the promise that it breaks.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use recount_core::{
    Append, AppendError, Appended, Conflict, Direction, EachEvent, EventAt, EventRef, EventStore, EventStream,
    ExpectedRevision, IdempotencyKey, NamedAppend, Position, QueryItem, ReadAll, ReadStream, Revision, StateEntry,
    StateError, StateKey, StateStore, Store, StoreError, StoreId, StreamId, Violation,
};
use recount_store_memory::MemoryStore;
use recount_testing::store::{self, Capabilities, Harness};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    None,
    AppendsInHalves,
    ChecksBeforeItWaits,
    ConditionsCollide,
    EventsAppearLate,
    FoldsTooLittle,
    ForgetsNewer,
    NeverWakes,
    PayloadIsText,
    CategoryIsPattern,
    CategoriesMatchAsPrefix,
    TwoWinnersOfAnEntry,
    NotDurable,
    OneIdentityForAll,
    EveryEventWasErased,
}

struct Broken {
    store: MemoryStore,
    defect: Defect,
    calls: AtomicU64,
    silent: watch::Sender<Position>,
}

impl Broken {
    fn calls(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    /// What a store does that looks first and writes later, in another transaction.
    async fn check_then_append(&self, mut append: Append) -> Result<Appended, AppendError> {
        for wanted in &append.streams {
            let found: Vec<_> = self.store.read_stream(ReadStream::new(wanted.stream.clone())).collect().await;
            let actual = recount_core::StreamVersion::new(found.iter().filter(|found| found.is_ok()).count() as u64);
            if !wanted.expected.accepts(actual) {
                return self.store.append(append).await;
            }
        }
        for wanted in &mut append.streams {
            wanted.expected = recount_core::ExpectedVersion::Any;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.store.append(append).await
    }
}

#[async_trait]
impl EventStore for Broken {
    fn identity(&self) -> StoreId {
        if self.is(Defect::OneIdentityForAll) { StoreId(uuid::Uuid::nil()) } else { self.store.identity() }
    }
    async fn event_at(&self, position: Position) -> Result<EventAt, StoreError> {
        if self.is(Defect::EveryEventWasErased) {
            return Ok(EventAt::Erased);
        }
        self.store.event_at(position).await
    }
    async fn append(&self, mut append: Append) -> Result<Appended, AppendError> {
        let first = append.streams.first().map(|append| append.stream.clone());
        match self.defect {
            Defect::ChecksBeforeItWaits => return self.check_then_append(append).await,
            Defect::AppendsInHalves if append.streams.len() == 2 && append.validate().is_ok() => {
                let half = Append { streams: append.streams.drain(..1).collect(), ..Append::default() };
                self.store.append(half).await?;
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            Defect::ConditionsCollide if append.condition.is_some() && self.calls() % 50 == 49 => {
                let position = Position::new(1);
                return Err(Conflict { violations: vec![Violation::Condition { position }] }.into());
            }
            Defect::PayloadIsText => {
                for event in append.streams.iter_mut().flat_map(|append| &mut append.events) {
                    event.payload = String::from_utf8_lossy(&event.payload).into_owned().into();
                }
            }
            _ => {}
        }
        match self.store.append(append).await {
            Err(AppendError::Conflict(mut conflict)) if self.is(Defect::ForgetsNewer) && first.is_some() => {
                for violation in &mut conflict.violations {
                    if let Violation::Version { newer, .. } = violation {
                        newer.clear();
                    }
                }
                Err(conflict.into())
            }
            outcome => outcome,
        }
    }
    fn read_stream(&self, read: ReadStream) -> EventStream {
        self.store.read_stream(read)
    }
    async fn fold_stream(&self, read: ReadStream, each: &mut EachEvent<'_>) -> Result<(), StoreError> {
        let first = self.is(Defect::FoldsTooLittle) && read.direction == Direction::Backward;
        let mut skip = usize::from(first);
        let mut rest = |event: EventRef<'_>| if skip > 0 { skip -= 1 } else { each(event) };
        self.store.fold_stream(read, &mut rest).await
    }
    fn read_all(&self, mut read: ReadAll) -> EventStream {
        match self.defect {
            Defect::EventsAppearLate if read.direction == Direction::Forward && read.after > Position::START => {
                // As if one of the transactions had not committed yet, although a later one has.
                let hidden = self.calls();
                Box::pin(self.store.read_all(read).enumerate().filter_map(move |(n, event)| {
                    let late = hidden.is_multiple_of(5) && n == 0;
                    std::future::ready((!late).then_some(event))
                }))
            }
            Defect::CategoryIsPattern | Defect::CategoriesMatchAsPrefix => {
                let pattern = |name: &str| match self.defect {
                    Defect::CategoryIsPattern => name.contains(['_', '%']),
                    _ => name == "order",
                };
                let widen = |item: &mut QueryItem| item.category = item.category.take().filter(|name| !pattern(name));
                read.query.items.iter_mut().for_each(widen);
                self.store.read_all(read)
            }
            _ => self.store.read_all(read),
        }
    }
    async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError> {
        self.store.find_append(key).await
    }
    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
        self.store.forget_keys(older_than, limit).await
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }
    fn watch(&self) -> watch::Receiver<Position> {
        if self.is(Defect::NeverWakes) { self.silent.subscribe() } else { self.store.watch() }
    }
    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.store.archive(stream).await
    }
    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.store.erase(stream).await
    }
    async fn health(&self) -> Result<(), StoreError> {
        self.store.health().await
    }
    async fn close(&self) {
        self.store.close().await;
    }
}

#[async_trait]
impl StateStore for Broken {
    async fn now(&self) -> Result<recount_core::Timestamp, StoreError> {
        self.store.now().await
    }
    async fn put_many(&self, puts: Vec<recount_core::StatePut>) -> Result<Vec<Revision>, StateError> {
        self.store.put_many(puts).await
    }
    async fn delete_many(&self, deletes: Vec<recount_core::StateDelete>) -> Result<(), StateError> {
        self.store.delete_many(deletes).await
    }
    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
        self.store.get(key).await
    }
    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        if self.is(Defect::TwoWinnersOfAnEntry) {
            let actual = self.store.get(key).await?.map(|entry| entry.revision);
            tokio::time::sleep(Duration::from_millis(1)).await;
            let key = key.clone();
            return match expected.accepts(actual) {
                true => self.store.put(&key, value, ExpectedRevision::Any, time_to_live).await,
                false => Err(StateError::Mismatch { key, expected, actual }),
            };
        }
        self.store.put(key, value, expected, time_to_live).await
    }
    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        self.store.delete(key, expected).await
    }
    async fn list(
        &self,
        namespace: recount_core::Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        self.store.list(namespace, prefix, after, limit).await
    }
}

struct Opens(MemoryStore, Defect, Mutex<Option<MemoryStore>>);

#[async_trait]
impl Harness for Opens {
    async fn open_another(&self) -> Arc<dyn Store> {
        Opens(MemoryStore::new(), self.1, Mutex::default()).open().await
    }
    async fn save(&self) {
        *self.2.lock().unwrap() = Some(self.0.backup().unwrap());
    }
    async fn restore(&self) {
        self.0.restore(self.2.lock().unwrap().as_ref().unwrap()).unwrap();
    }
    async fn open(&self) -> Arc<dyn Store> {
        let store = if self.1 == Defect::NotDurable { MemoryStore::new() } else { self.0.clone() };
        Arc::new(Broken {
            store,
            defect: self.1,
            calls: AtomicU64::new(0),
            silent: watch::Sender::new(Position::START),
        })
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: self.1 == Defect::NotDurable, ..Capabilities::default() }
    }
}

/// The promise holds for a sound store, and not for the one with the defect.
fn finds(defect: Defect, promise: impl AsyncFn(&dyn Harness)) {
    let check = |defect| store::check(async { Opens(MemoryStore::new(), defect, Mutex::default()) }, &promise);
    check(Defect::None);
    assert!(catch_unwind(AssertUnwindSafe(|| check(defect))).is_err(), "{defect:?} was not found");
}

#[test]
fn appends_in_halves_are_found() {
    finds(Defect::AppendsInHalves, store::concurrency::several_streams_become_visible_at_once);
    finds(Defect::AppendsInHalves, store::append::the_outcome_tells_what_was_written);
}

#[test]
fn a_check_outside_the_transaction_is_found() {
    let promise = store::concurrency::of_appends_expecting_the_same_version_exactly_one_wins;
    finds(Defect::ChecksBeforeItWaits, promise);
}

#[test]
fn false_conflicts_are_found() {
    finds(Defect::ConditionsCollide, store::conditions::disjoint_conditions_never_conflict);
}

#[test]
fn events_that_appear_late_are_found() {
    finds(Defect::EventsAppearLate, store::order::a_reader_that_follows_the_head_misses_nothing);
}

#[test]
fn folds_that_differ_from_reads_are_found() {
    finds(Defect::FoldsTooLittle, store::read::a_stream_is_read_between_any_bounds);
    finds(Defect::FoldsTooLittle, store::read::pages_join_without_a_seam);
}

#[test]
fn conflicts_without_their_events_are_found() {
    finds(Defect::ForgetsNewer, store::append::a_conflict_carries_what_the_writer_has_not_seen);
    finds(Defect::ForgetsNewer, store::concurrency::writers_of_a_hot_stream_all_get_through);
}

#[test]
fn lost_wake_ups_are_found() {
    finds(Defect::NeverWakes, store::watch::a_new_watcher_knows_the_head);
}

#[test]
fn rewritten_payloads_are_found() {
    finds(Defect::PayloadIsText, store::payload::any_bytes_come_back_unchanged);
}

#[test]
fn names_that_are_patterns_are_found() {
    finds(Defect::CategoryIsPattern, store::names::a_category_is_compared_exactly);
    finds(Defect::CategoriesMatchAsPrefix, store::names::a_category_is_compared_exactly);
}

#[test]
fn an_entry_with_two_winners_is_found() {
    finds(Defect::TwoWinnersOfAnEntry, store::state::of_racing_writers_of_one_entry_exactly_one_wins);
}

#[test]
fn a_store_that_does_not_know_itself_is_found() {
    finds(Defect::OneIdentityForAll, store::history::a_checkpoint_of_another_store_is_refused);
    finds(Defect::EveryEventWasErased, store::history::a_store_that_grew_again_after_a_restore_is_refused);
    finds(Defect::EveryEventWasErased, store::history::a_read_model_ahead_of_its_store_stops);
}

#[test]
fn lost_data_is_found() {
    finds_lost(store::lifecycle::what_was_acknowledged_survives_reopening);
    finds_lost(store::idempotency::a_key_is_remembered_after_reopening);
    finds_lost(store::state::entries_survive_reopening);
}

fn finds_lost(promise: impl AsyncFn(&dyn Harness)) {
    let check = || store::check(async { Opens(MemoryStore::new(), Defect::NotDurable, Mutex::default()) }, &promise);
    assert!(catch_unwind(AssertUnwindSafe(check)).is_err(), "lost data was not found");
}

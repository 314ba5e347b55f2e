//! The calls of a [`FaultyStore`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::{
    Append, AppendError, Appended, EachEvent, EventAt, EventStore, EventStream, ExpectedRevision, IdempotencyKey,
    NamedAppend, Namespace, PoolUsage, Position, ReadAll, ReadStream, Revision, StateDelete, StateEntry, StateError,
    StateKey, StatePut, StateStore, StoreError, StoreId, StoreWaits, StoredNames, StreamId, Timestamp,
};
use tokio::sync::watch;

use super::{Call, FaultyStore, Operation};

#[async_trait]
impl<S: EventStore + Clone> EventStore for FaultyStore<S> {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }
    fn pools(&self) -> Vec<PoolUsage> {
        self.store.pools()
    }
    fn queued(&self) -> usize {
        self.store.queued()
    }
    fn waits(&self) -> StoreWaits {
        self.store.waits()
    }
    async fn visibility_lag(&self) -> Result<Duration, StoreError> {
        self.store.visibility_lag().await
    }
    fn identity(&self) -> StoreId {
        self.store.identity()
    }
    fn names(&self) -> StoredNames {
        self.store.names()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let fault = self.fault(Call { append: Some(&append), ..Call::of(Operation::Append) });
        let append = async {
            let appended = self.store.append(append).await;
            if let (Some(wakes), Ok(appended)) = (&self.wakes, &appended) {
                wakes.wake(appended.position);
            }
            appended
        };
        self.around(fault, append).await
    }
    fn read_stream(&self, read: ReadStream) -> EventStream {
        let fault = self.fault(Call { stream: Some(&read.stream), ..Call::of(Operation::ReadStream) });
        self.around_read(fault, self.store.read_stream(read))
    }
    async fn fold_stream(&self, read: ReadStream, each: &mut EachEvent<'_>) -> Result<(), StoreError> {
        let fault = self.fault(Call { stream: Some(&read.stream), ..Call::of(Operation::ReadStream) });
        self.around(fault, self.store.fold_stream(read, each)).await
    }
    fn read_all(&self, read: ReadAll) -> EventStream {
        self.around_read(self.fault(Call::of(Operation::ReadAll)), self.store.read_all(read))
    }
    async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError> {
        let fault = self.fault(Call::about(Operation::FindAppend, key.as_str()));
        self.around(fault, self.store.find_append(key)).await
    }
    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
        self.around(self.fault(Call::of(Operation::ForgetKeys)), self.store.forget_keys(older_than, limit)).await
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.around(self.fault(Call::of(Operation::Head)), self.store.head()).await
    }
    async fn event_at(&self, position: Position) -> Result<EventAt, StoreError> {
        self.around(self.fault(Call::of(Operation::EventAt)), self.store.event_at(position)).await
    }
    fn watch(&self) -> watch::Receiver<Position> {
        let head = self.store.watch();
        match &self.wakes {
            Some(wakes) => wakes.watch(*head.borrow()),
            None => head,
        }
    }
    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.around(self.fault(Call::of(Operation::Archive)), self.store.archive(stream)).await
    }
    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.around(self.fault(Call::of(Operation::Erase)), self.store.erase(stream)).await
    }
    async fn health(&self) -> Result<(), StoreError> {
        self.around(self.fault(Call::of(Operation::Health)), self.store.health()).await
    }
    async fn close(&self) {
        self.store.close().await;
    }
}

#[async_trait]
impl<S: StateStore> StateStore for FaultyStore<S> {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        let now = self.around(self.fault(Call::of(Operation::Now)), self.store.now()).await?;
        let ahead = Duration::from_micros(self.ahead.load(Ordering::Relaxed));
        Ok(now.saturating_add(ahead).unwrap_or(Timestamp::MAX))
    }
    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
        let fault = self.fault(Call::about(Operation::Get, key.as_stored()));
        self.around(fault, self.store.get(key)).await
    }
    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        let fault = self.fault(Call::about(Operation::Put, key.as_stored()));
        self.around(fault, self.store.put(key, value, expected, time_to_live)).await
    }
    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        let fault = self.fault(Call::about(Operation::Delete, key.as_stored()));
        self.around(fault, self.store.delete(key, expected)).await
    }
    async fn put_many(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
        let fault =
            self.fault(Call { key: puts.first().map(|first| first.key.as_stored()), ..Call::of(Operation::PutMany) });
        self.around(fault, self.store.put_many(puts)).await
    }
    async fn delete_many(&self, deletes: Vec<StateDelete>) -> Result<(), StateError> {
        let fault = self
            .fault(Call { key: deletes.first().map(|first| first.key.as_stored()), ..Call::of(Operation::DeleteMany) });
        self.around(fault, self.store.delete_many(deletes)).await
    }
    async fn list(
        &self,
        namespace: Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        self.around(self.fault(Call::about(Operation::List, prefix)), self.store.list(namespace, prefix, after, limit))
            .await
    }
}

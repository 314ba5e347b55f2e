//! Stores that pass most calls on to another store: the one home of that for mutants and stand-ins.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::{
    Append, AppendError, Appended, EachEvent, EventAt, EventStore, EventStream, ExpectedRevision, IdempotencyKey,
    NamedAppend, Namespace, PoolUsage, Position, ReadAll, ReadStream, Revision, StateDelete, StateEntry, StateError,
    StateKey, StatePut, StateStore, Store, StoreError, StoreId, StoreWaits, StoredNames, StreamId, Timestamp,
};
use tokio::sync::watch;

macro_rules! wrap {
    (
        events { $(async fn $event:ident($($event_argument:ident: $event_type:ty),*) -> $event_result:ty;)* }
        state { $(async fn $state:ident($($state_argument:ident: $state_type:ty),*) -> $state_result:ty;)* }
    ) => {
        /// The calls that a store answers itself; the others go to the store inside. [`Wrapped`] makes a store of it.
        #[async_trait]
        #[expect(missing_docs, reason = "the calls of EventStore and StateStore")]
        pub trait StoreWrapper: Send + Sync + 'static {
            /// The store inside.
            fn inner(&self) -> &dyn Store;

            fn read_stream(&self, read: ReadStream) -> EventStream {
                self.inner().read_stream(read)
            }

            fn read_all(&self, read: ReadAll) -> EventStream {
                self.inner().read_all(read)
            }

            $(async fn $event(&self, $($event_argument: $event_type),*) -> $event_result {
                self.inner().$event($($event_argument),*).await
            })*

            $(async fn $state(&self, $($state_argument: $state_type),*) -> $state_result {
                self.inner().$state($($state_argument),*).await
            })*
        }

        #[async_trait]
        impl<W: StoreWrapper> EventStore for Wrapped<W> {
            fn identity(&self) -> StoreId {
                self.0.inner().identity()
            }

            fn kind(&self) -> &'static str {
                self.0.inner().kind()
            }

            fn pools(&self) -> Vec<PoolUsage> {
                self.0.inner().pools()
            }

            fn queued(&self) -> usize {
                self.0.inner().queued()
            }

            fn waits(&self) -> StoreWaits {
                self.0.inner().waits()
            }

            fn names(&self) -> StoredNames {
                self.0.inner().names()
            }

            fn watch(&self) -> watch::Receiver<Position> {
                self.0.inner().watch()
            }

            fn read_stream(&self, read: ReadStream) -> EventStream {
                self.0.read_stream(read)
            }

            fn read_all(&self, read: ReadAll) -> EventStream {
                self.0.read_all(read)
            }

            $(async fn $event(&self, $($event_argument: $event_type),*) -> $event_result {
                self.0.$event($($event_argument),*).await
            })*
        }

        #[async_trait]
        impl<W: StoreWrapper> StateStore for Wrapped<W> {
            $(async fn $state(&self, $($state_argument: $state_type),*) -> $state_result {
                self.0.$state($($state_argument),*).await
            })*
        }
    };
}

/// A store of a [`StoreWrapper`].
#[derive(Clone, Debug)]
pub struct Wrapped<W>(pub W);

wrap! {
    events {
        async fn append(append: Append) -> Result<Appended, AppendError>;
        async fn fold_stream(read: ReadStream, each: &mut EachEvent<'_>) -> Result<(), StoreError>;
        async fn find_append(key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError>;
        async fn forget_keys(older_than: Duration, limit: usize) -> Result<u64, StoreError>;
        async fn head() -> Result<Position, StoreError>;
        async fn event_at(position: Position) -> Result<EventAt, StoreError>;
        async fn visibility_lag() -> Result<Duration, StoreError>;
        async fn archive(stream: &StreamId) -> Result<(), StoreError>;
        async fn erase(stream: &StreamId) -> Result<(), StoreError>;
        async fn health() -> Result<(), StoreError>;
        async fn close() -> ();
    }
    state {
        async fn now() -> Result<Timestamp, StoreError>;
        async fn get(key: &StateKey) -> Result<Option<StateEntry>, StoreError>;
        async fn put(
            key: &StateKey, value: Bytes, expected: ExpectedRevision, time_to_live: Option<Duration>
        ) -> Result<Revision, StateError>;
        async fn delete(key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError>;
        async fn put_many(puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError>;
        async fn delete_many(deletes: Vec<StateDelete>) -> Result<(), StateError>;
        async fn list(
            namespace: Namespace, prefix: &str, after: Option<&StateKey>, limit: usize
        ) -> Result<Vec<(StateKey, StateEntry)>, StoreError>;
    }
}

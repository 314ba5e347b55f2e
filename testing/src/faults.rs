//! [`FaultyStore`]: a store that fails when told to, and counts what it is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use recount_core::{
    Append, AppendError, Appended, EachEvent, EventAt, EventStore, EventStream, ExpectedRevision, IdempotencyKey,
    NamedAppend, Namespace, PoolUsage, Position, ReadAll, ReadStream, Revision, StateDelete, StateEntry, StateError,
    StateKey, StatePut, StateStore, StoreError, StoreId, StoreWaits, StoredNames, StreamId, Timestamp,
};
use tokio::sync::watch;

/// The operations of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`EventStore::append`].
    Append,
    /// [`EventStore::read_stream`] and [`EventStore::fold_stream`].
    ReadStream,
    /// [`EventStore::read_all`].
    ReadAll,
    /// [`EventStore::find_append`].
    FindAppend,
    /// [`EventStore::forget_keys`].
    ForgetKeys,
    /// [`EventStore::head`].
    Head,
    /// [`EventStore::event_at`].
    EventAt,
    /// [`EventStore::archive`].
    Archive,
    /// [`EventStore::erase`].
    Erase,
    /// [`EventStore::health`].
    Health,
    /// [`StateStore::now`].
    Now,
    /// [`StateStore::get`].
    Get,
    /// [`StateStore::put`].
    Put,
    /// [`StateStore::delete`].
    Delete,
    /// [`StateStore::put_many`].
    PutMany,
    /// [`StateStore::delete_many`].
    DeleteMany,
    /// [`StateStore::list`].
    List,
}

impl Operation {
    /// Whether a lost answer leaves the outcome open.
    const fn writes(self) -> bool {
        matches!(
            self,
            Self::Append
                | Self::ForgetKeys
                | Self::Archive
                | Self::Erase
                | Self::Put
                | Self::Delete
                | Self::PutMany
                | Self::DeleteMany
        )
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::ReadStream => "read stream",
            Self::ReadAll => "read all",
            Self::FindAppend => "find append",
            Self::ForgetKeys => "forget keys",
            Self::Head => "head",
            Self::EventAt => "event at",
            Self::Archive => "archive",
            Self::Erase => "erase",
            Self::Health => "health",
            Self::Now => "now",
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::PutMany => "put many",
            Self::DeleteMany => "delete many",
            Self::List => "list",
        }
    }
}

/// The fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call fails before it takes effect, with [`StoreError::Unavailable`].
    Before,
    /// The call takes effect, but its answer is lost: [`StoreError::OutcomeUnknown`] if it writes, otherwise
    /// [`StoreError::Unavailable`]. A read of events gives the first, if there is one, before it fails.
    After,
    /// The call is answered late.
    Delay(Duration),
}

/// A store whose calls fail when told to. Without faults it is the store it wraps.
///
/// Clones are handles to the same store, faults and counters.
///
/// ```
/// # use recount_core::EventStore;
/// # use recount_store_memory::MemoryStore;
/// use recount_testing::{Fault, FaultyStore, Operation};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = FaultyStore::new(MemoryStore::new());
/// store.fail(Operation::Head, 2, Fault::Before); // the second call from now on
/// assert!(store.head().await.is_ok());
/// assert!(store.head().await.unwrap_err().is_transient());
/// assert!(store.head().await.is_ok());
/// assert_eq!(store.calls(Operation::Head), 3);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FaultyStore<S> {
    store: S,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    calls: HashMap<Operation, u64>,
    faults: HashMap<(Operation, u64), Fault>,
    always: HashMap<Operation, Fault>,
}

impl<S> FaultyStore<S> {
    /// Wraps a store.
    pub fn new(store: S) -> Self {
        Self { store, plan: Arc::default() }
    }

    /// The wrapped store, to look at it without counting or failing.
    pub fn inner(&self) -> &S {
        &self.store
    }

    /// Makes a call fail: the next call of this operation is number 1.
    pub fn fail(&self, operation: Operation, call: u64, fault: Fault) {
        let mut plan = self.plan();
        let call = plan.calls.get(&operation).copied().unwrap_or(0) + call;
        plan.faults.insert((operation, call), fault);
    }

    /// Makes every call of this operation fail from now on, until [`heal`](Self::heal).
    pub fn fail_always(&self, operation: Operation, fault: Fault) {
        self.plan().always.insert(operation, fault);
    }

    /// Forgets all faults.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.faults.clear();
        plan.always.clear();
    }

    /// How often this operation was called, failed calls included.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.plan().calls.get(&operation).copied().unwrap_or(0)
    }

    /// Counts from zero again.
    pub fn reset_calls(&self) {
        let mut plan = self.plan();
        plan.calls.clear();
        plan.faults.clear();
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and returns its fault, if any.
    fn count(&self, operation: Operation) -> Option<Fault> {
        let mut plan = self.plan();
        let call = plan.calls.entry(operation).or_default();
        *call += 1;
        let call = *call;
        plan.faults.remove(&(operation, call)).or_else(|| plan.always.get(&operation).copied())
    }

    async fn around<T, E: From<StoreError>>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        match self.count(operation) {
            None => call.await,
            Some(Fault::Before) => Err(unavailable(operation).into()),
            Some(Fault::After) => {
                call.await?;
                Err(lost_answer(operation).into())
            }
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                call.await
            }
        }
    }

    fn around_read(&self, operation: Operation, read: EventStream) -> EventStream {
        let failure = stream::iter([Err(unavailable(operation))]);
        match self.count(operation) {
            None => read,
            Some(Fault::Before) => Box::pin(failure),
            Some(Fault::After) => Box::pin(read.take(1).chain(failure)),
            Some(Fault::Delay(time)) => {
                Box::pin(stream::once(tokio::time::sleep(time)).flat_map(move |()| stream::empty()).chain(read))
            }
        }
    }
}

fn unavailable(operation: Operation) -> StoreError {
    StoreError::Unavailable { operation: operation.name(), source: "injected fault".into() }
}

fn lost_answer(operation: Operation) -> StoreError {
    if operation.writes() {
        StoreError::OutcomeUnknown { operation: operation.name(), source: "injected fault".into() }
    } else {
        unavailable(operation)
    }
}

#[async_trait]
impl<S: EventStore> EventStore for FaultyStore<S> {
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
        self.around(Operation::Append, self.store.append(append)).await
    }
    fn read_stream(&self, read: ReadStream) -> EventStream {
        self.around_read(Operation::ReadStream, self.store.read_stream(read))
    }
    async fn fold_stream(&self, read: ReadStream, each: &mut EachEvent<'_>) -> Result<(), StoreError> {
        self.around(Operation::ReadStream, self.store.fold_stream(read, each)).await
    }
    fn read_all(&self, read: ReadAll) -> EventStream {
        self.around_read(Operation::ReadAll, self.store.read_all(read))
    }
    async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError> {
        self.around(Operation::FindAppend, self.store.find_append(key)).await
    }
    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
        self.around(Operation::ForgetKeys, self.store.forget_keys(older_than, limit)).await
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.around(Operation::Head, self.store.head()).await
    }
    async fn event_at(&self, position: Position) -> Result<EventAt, StoreError> {
        self.around(Operation::EventAt, self.store.event_at(position)).await
    }
    fn watch(&self) -> watch::Receiver<Position> {
        self.store.watch()
    }
    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.around(Operation::Archive, self.store.archive(stream)).await
    }
    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.around(Operation::Erase, self.store.erase(stream)).await
    }
    async fn health(&self) -> Result<(), StoreError> {
        self.around(Operation::Health, self.store.health()).await
    }
    async fn close(&self) {
        self.store.close().await;
    }
}

#[async_trait]
impl<S: StateStore> StateStore for FaultyStore<S> {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.around(Operation::Now, self.store.now()).await
    }
    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
        self.around(Operation::Get, self.store.get(key)).await
    }
    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        self.around(Operation::Put, self.store.put(key, value, expected, time_to_live)).await
    }
    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        self.around(Operation::Delete, self.store.delete(key, expected)).await
    }
    async fn put_many(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
        self.around(Operation::PutMany, self.store.put_many(puts)).await
    }
    async fn delete_many(&self, deletes: Vec<StateDelete>) -> Result<(), StateError> {
        self.around(Operation::DeleteMany, self.store.delete_many(deletes)).await
    }
    async fn list(
        &self,
        namespace: Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        self.around(Operation::List, self.store.list(namespace, prefix, after, limit)).await
    }
}

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
    /// The call stops before it takes effect, until [`FaultyStore::release`]: a program that is paused, or dies there.
    PauseBefore,
    /// The call stops after it took effect, until [`FaultyStore::release`].
    PauseAfter,
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
#[derive(Clone)]
pub struct FaultyStore<S> {
    store: S,
    plan: Arc<Mutex<Plan>>,
    gate: Arc<Gate>,
}

impl<S: std::fmt::Debug> std::fmt::Debug for FaultyStore<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyStore").field("store", &self.store).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Plan {
    calls: HashMap<Operation, u64>,
    faults: HashMap<(Operation, u64), Fault>,
    always: HashMap<Operation, Fault>,
    points: Vec<Point>,
}

/// A fault for the next call that fits.
struct Point {
    fits: Box<dyn Fn(&Call<'_>) -> bool + Send>,
    fault: Fault,
}

/// A call of a store, for [`FaultyStore::fail_where`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The operation.
    pub operation: Operation,
    /// The append, if it is one.
    pub append: Option<&'a Append>,
    /// The idempotency key that is asked for, or the first key of a state entry.
    pub key: Option<&'a str>,
}

impl Call<'_> {
    /// Whether it appends an event of this type.
    #[must_use]
    pub fn appends(&self, event_type: &str) -> bool {
        let mut events = self.append.iter().flat_map(|append| &append.streams).flat_map(|stream| &stream.events);
        events.any(|event| event.event_type.as_str() == event_type)
    }

    /// Whether it names a key that starts like this.
    #[must_use]
    pub fn is_about(&self, key: &str) -> bool {
        self.key.is_some_and(|own| own.starts_with(key))
    }
}

/// Whether calls that paused go on.
#[derive(Debug)]
struct Gate {
    paused: watch::Sender<u64>,
    released: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { paused: watch::Sender::new(0), released: watch::Sender::new(false) }
    }
}

impl<S> FaultyStore<S> {
    /// Wraps a store.
    pub fn new(store: S) -> Self {
        Self { store, plan: Arc::default(), gate: Arc::default() }
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

    /// Makes the next call that fits fail.
    pub fn fail_where(&self, fault: Fault, fits: impl Fn(&Call<'_>) -> bool + Send + 'static) {
        self.plan().points.push(Point { fits: Box::new(fits), fault });
    }

    /// Waits until a call has [paused](Fault::PauseBefore).
    pub async fn paused(&self) {
        let _ = self.gate.paused.subscribe().wait_for(|paused| *paused > 0).await;
    }

    /// How many calls have paused.
    #[must_use]
    pub fn pauses(&self) -> u64 {
        *self.gate.paused.borrow()
    }

    /// Lets all calls that paused go on, and those that would pause later.
    pub fn release(&self) {
        self.gate.released.send_replace(true);
    }

    /// Whether every fault of [`fail_where`](Self::fail_where) has happened.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.plan().points.is_empty()
    }

    /// Forgets all faults.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.faults.clear();
        plan.always.clear();
        plan.points.clear();
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

    async fn pause(&self) {
        self.gate.paused.send_modify(|paused| *paused += 1);
        let _ = self.gate.released.subscribe().wait_for(|released| *released).await;
    }

    /// Counts a call and returns its fault, if any.
    fn count(&self, call: Call<'_>) -> Option<Fault> {
        let operation = call.operation;
        let mut plan = self.plan();
        if let Some(place) = plan.points.iter().position(|point| (point.fits)(&call)) {
            return Some(plan.points.remove(place).fault);
        }
        let call = plan.calls.entry(operation).or_default();
        *call += 1;
        let call = *call;
        plan.faults.remove(&(operation, call)).or_else(|| plan.always.get(&operation).copied())
    }

    fn fault(&self, operation: Operation, append: Option<&Append>, key: Option<&str>) -> (Operation, Option<Fault>) {
        (operation, self.count(Call { operation, append, key }))
    }

    async fn around<T, E: From<StoreError>>(
        &self,
        fault: (Operation, Option<Fault>),
        call: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let (operation, fault) = fault;
        match fault {
            None => call.await,
            Some(Fault::PauseBefore) => {
                self.pause().await;
                call.await
            }
            Some(Fault::PauseAfter) => {
                let outcome = call.await;
                self.pause().await;
                outcome
            }
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

    fn around_read(&self, operation: Operation, read: EventStream) -> EventStream
    where
        S: Clone + Send + Sync + 'static,
    {
        let failure = stream::iter([Err(unavailable(operation))]);
        match self.count(Call { operation, append: None, key: None }) {
            None => read,
            Some(Fault::PauseBefore | Fault::PauseAfter) => {
                let store = self.clone();
                Box::pin(stream::once(async move { store.pause().await }).flat_map(|()| stream::empty()).chain(read))
            }
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
        let fault = self.fault(Operation::Append, Some(&append), None);
        self.around(fault, self.store.append(append)).await
    }
    fn read_stream(&self, read: ReadStream) -> EventStream {
        self.around_read(Operation::ReadStream, self.store.read_stream(read))
    }
    async fn fold_stream(&self, read: ReadStream, each: &mut EachEvent<'_>) -> Result<(), StoreError> {
        self.around(self.fault(Operation::ReadStream, None, None), self.store.fold_stream(read, each)).await
    }
    fn read_all(&self, read: ReadAll) -> EventStream {
        self.around_read(Operation::ReadAll, self.store.read_all(read))
    }
    async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError> {
        let fault = self.fault(Operation::FindAppend, None, Some(key.as_str()));
        self.around(fault, self.store.find_append(key)).await
    }
    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
        self.around(self.fault(Operation::ForgetKeys, None, None), self.store.forget_keys(older_than, limit)).await
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.around(self.fault(Operation::Head, None, None), self.store.head()).await
    }
    async fn event_at(&self, position: Position) -> Result<EventAt, StoreError> {
        self.around(self.fault(Operation::EventAt, None, None), self.store.event_at(position)).await
    }
    fn watch(&self) -> watch::Receiver<Position> {
        self.store.watch()
    }
    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.around(self.fault(Operation::Archive, None, None), self.store.archive(stream)).await
    }
    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.around(self.fault(Operation::Erase, None, None), self.store.erase(stream)).await
    }
    async fn health(&self) -> Result<(), StoreError> {
        self.around(self.fault(Operation::Health, None, None), self.store.health()).await
    }
    async fn close(&self) {
        self.store.close().await;
    }
}

#[async_trait]
impl<S: StateStore> StateStore for FaultyStore<S> {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.around(self.fault(Operation::Now, None, None), self.store.now()).await
    }
    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
        let fault = self.fault(Operation::Get, None, Some(key.as_stored()));
        self.around(fault, self.store.get(key)).await
    }
    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        let fault = self.fault(Operation::Put, None, Some(key.as_stored()));
        self.around(fault, self.store.put(key, value, expected, time_to_live)).await
    }
    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        let fault = self.fault(Operation::Delete, None, Some(key.as_stored()));
        self.around(fault, self.store.delete(key, expected)).await
    }
    async fn put_many(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
        let fault = self.fault(Operation::PutMany, None, puts.first().map(|first| first.key.as_stored()));
        self.around(fault, self.store.put_many(puts)).await
    }
    async fn delete_many(&self, deletes: Vec<StateDelete>) -> Result<(), StateError> {
        let fault = self.fault(Operation::DeleteMany, None, deletes.first().map(|first| first.key.as_stored()));
        self.around(fault, self.store.delete_many(deletes)).await
    }
    async fn list(
        &self,
        namespace: Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        self.around(self.fault(Operation::List, None, None), self.store.list(namespace, prefix, after, limit)).await
    }
}

//! [`FaultyStore`]: a store that fails when told to, and counts its calls.

mod call;
mod operation;
mod store;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use recount_core::{EventStream, Position, StoreError};
use tokio::sync::watch;

pub use call::{Call, Fault};
pub use operation::Operation;

/// A store that fails calls when told to. Without faults it is the store it wraps.
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
    /// How many microseconds the clock is ahead.
    ahead: Arc<AtomicU64>,
    wakes: Option<Arc<Wakes>>,
}

/// The subscribers to the head, each with a channel of its own.
#[derive(Debug, Default)]
struct Wakes(Mutex<Vec<watch::Sender<Position>>>);

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
    each: Option<Box<Choose>>,
}

/// Chooses the fault of a call.
type Choose = dyn FnMut(&Call<'_>) -> Option<Fault> + Send;

/// A fault for the next call that fits.
struct Point {
    fits: Box<dyn Fn(&Call<'_>) -> bool + Send>,
    fault: Fault,
}

impl Wakes {
    fn watch(&self, head: Position) -> watch::Receiver<Position> {
        let (sender, receiver) = watch::channel(head);
        self.senders().push(sender);
        receiver
    }

    fn wake(&self, head: Position) {
        self.senders().retain(|sender| {
            sender.send_if_modified(|known| std::mem::replace(known, head.max(*known)) < head);
            !sender.is_closed()
        });
    }

    fn senders(&self) -> MutexGuard<'_, Vec<watch::Sender<Position>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        Self { store, plan: Arc::default(), gate: Arc::default(), ahead: Arc::default(), wakes: None }
    }

    /// Wraps a store, and wakes the watchers of its head in the order in which they began. A tokio channel wakes its receivers
    /// in a random order, so a simulation that shall repeat itself needs this. All appends must go through this store.
    pub fn waking_in_order(store: S) -> Self {
        Self { wakes: Some(Arc::default()), ..Self::new(store) }
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

    /// Asks this function for the fault of each call that has no other fault, until [`heal`](Self::heal).
    pub fn fail_each(&self, choose: impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static) {
        self.plan().each = Some(Box::new(choose));
    }

    /// Sets the clock of the store this far ahead. The times at which events are recorded stay right.
    pub fn set_clock_ahead(&self, by: Duration) {
        self.ahead.store(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
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
        plan.each = None;
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
    fn fault(&self, call: Call<'_>) -> (Operation, Option<Fault>) {
        let operation = call.operation;
        let mut plan = self.plan();
        if let Some(place) = plan.points.iter().position(|point| (point.fits)(&call)) {
            return (operation, Some(plan.points.remove(place).fault));
        }
        let number = plan.calls.entry(operation).or_default();
        *number += 1;
        let number = *number;
        let fault = plan.faults.remove(&(operation, number)).or_else(|| plan.always.get(&operation).copied());
        (operation, fault.or_else(|| plan.each.as_mut().and_then(|choose| choose(&call))))
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
            Some(Fault::DelayAnswer(time)) => {
                let outcome = call.await;
                tokio::time::sleep(time).await;
                outcome
            }
        }
    }

    fn around_read(&self, fault: (Operation, Option<Fault>), read: EventStream) -> EventStream
    where
        S: Clone + Send + Sync + 'static,
    {
        let (operation, fault) = fault;
        let failure = stream::iter([Err(unavailable(operation))]);
        match fault {
            None => read,
            Some(Fault::PauseBefore | Fault::PauseAfter) => {
                let store = self.clone();
                Box::pin(stream::once(async move { store.pause().await }).flat_map(|()| stream::empty()).chain(read))
            }
            Some(Fault::Before) => Box::pin(failure),
            Some(Fault::After) => Box::pin(read.take(1).chain(failure)),
            Some(Fault::Delay(time) | Fault::DelayAnswer(time)) => {
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

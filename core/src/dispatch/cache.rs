//! The bounded cache of warm aggregates, which is also where commands for one aggregate queue.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use tokio::sync::Mutex;

use super::queue::Queue;
use super::warm::Warm;
use crate::telemetry::{Entry, Metrics};
use crate::{Aggregate, StreamId};

/// After how many new aggregates in a row the next is expected to be new too. A wrong guess costs a refused append, which is
/// little beside the reads that so many right ones spare.
const NEW_STREAK_THRESHOLD: u32 = 8;

/// One aggregate's place in the cache.
pub(super) struct Slot<A: Aggregate> {
    /// Holding the lock is having the turn; the lock is fair.
    ///
    /// The state is *taken* while its future is uncertain (an append is under way) and put back when it is known,
    /// so a dropped future leaves an empty slot, and the next turn loads anew.
    pub(super) turn: Arc<Mutex<Option<Warm<A>>>>,
    pub(super) queue: Queue<A>,
    pub(super) entry: Entry,
}

/// Slots by aggregate type and stream. An evicted slot that is still in use only loses its place in the queue:
/// the expected version keeps the outcome right.
pub(super) struct WarmCache {
    /// How many aggregates of each type in a row that were met for the first time had no events.
    newcomers: RwLock<HashMap<TypeId, u32, RandomState>>,
    slots: Cache<(TypeId, StreamId), Arc<dyn Any + Send + Sync>, UnitWeighter, RandomState>,
    metrics: Arc<Metrics>,
}

impl WarmCache {
    pub(super) fn new(capacity: usize, metrics: Arc<Metrics>) -> Self {
        let weight = capacity as u64;
        let slots = Cache::with(capacity, weight, UnitWeighter, RandomState::default(), DefaultLifecycle::default());
        Self { newcomers: RwLock::default(), slots, metrics }
    }

    /// Whether an aggregate that is met for the first time likely has no events.
    pub(super) fn expects_new<A: Aggregate>(&self) -> bool {
        let newcomers = self.newcomers.read().unwrap_or_else(PoisonError::into_inner);
        newcomers.get(&TypeId::of::<A>()).is_some_and(|streak| *streak >= NEW_STREAK_THRESHOLD)
    }

    /// An aggregate was met for the first time.
    pub(super) fn record_first_load<A: Aggregate>(&self, new: bool) {
        if new && self.expects_new::<A>() {
            return;
        }
        let mut newcomers = self.newcomers.write().unwrap_or_else(PoisonError::into_inner);
        let streak = newcomers.entry(TypeId::of::<A>()).or_default();
        *streak = if new { *streak + 1 } else { 0 };
    }

    /// The place of an aggregate that has one.
    pub(super) fn find<A: Aggregate>(&self, stream: &StreamId) -> Option<Arc<Slot<A>>> {
        self.slots.get(&(TypeId::of::<A>(), stream.clone()))?.downcast().ok()
    }

    /// The place of an aggregate, made if it has none.
    pub(super) fn slot<A: Aggregate>(&self, stream: &StreamId) -> Arc<Slot<A>> {
        let fresh = || {
            let entry = Entry::new(self.metrics.aggregate::<A>(A::NAME));
            Arc::new(Slot::<A> { turn: Arc::default(), queue: Queue::default(), entry })
        };
        let key = (TypeId::of::<A>(), stream.clone());
        let slot = self
            .slots
            .get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(fresh()))
            .unwrap_or_else(|never| match never {});
        slot.downcast().unwrap_or_else(|_| fresh())
    }

    pub(super) fn forget<A: Aggregate>(&self, stream: &StreamId) {
        self.slots.remove(&(TypeId::of::<A>(), stream.clone()));
    }
}

//! The bounded cache of warm aggregates, which is also where commands for one aggregate queue.

use std::any::{Any, TypeId};
use std::sync::Arc;

use foldhash::fast::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use tokio::sync::Mutex;

use super::queue::Queue;
use crate::{Aggregate, StreamId, StreamVersion};

/// An aggregate's state, as of a version of its stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warm<A> {
    pub(crate) state: A,
    pub(crate) version: StreamVersion,
    /// The version of the newest snapshot that is known to be kept.
    pub(crate) snapshot: StreamVersion,
}

/// One aggregate's place in the cache.
pub(crate) struct Slot<A: Aggregate> {
    /// Holding the lock is having the turn; the lock is fair.
    ///
    /// The state is *taken* while its future is uncertain (an append is under way) and put back when it is known,
    /// so a dropped future leaves an empty slot, and the next turn loads anew.
    pub(crate) turn: Arc<Mutex<Option<Warm<A>>>>,
    pub(crate) queue: Queue<A>,
}

/// Slots by aggregate type and stream. An evicted slot that is still in use only loses its place in the queue:
/// the expected version keeps the outcome right.
pub(crate) struct WarmCache {
    slots: Cache<(TypeId, StreamId), Arc<dyn Any + Send + Sync>, UnitWeighter, RandomState>,
}

impl WarmCache {
    pub(crate) fn new(capacity: usize) -> Self {
        let weight = capacity as u64;
        Self { slots: Cache::with(capacity, weight, UnitWeighter, RandomState::default(), DefaultLifecycle::default()) }
    }

    pub(crate) fn slot<A: Aggregate>(&self, stream: &StreamId) -> Arc<Slot<A>> {
        let fresh = || Arc::new(Slot::<A> { turn: Arc::default(), queue: Queue::default() });
        let key = (TypeId::of::<A>(), stream.clone());
        let slot = match self.slots.get(&key) {
            Some(slot) => slot,
            None => self
                .slots
                .get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(fresh()))
                .unwrap_or_else(|never| match never {}),
        };
        slot.downcast().unwrap_or_else(|_| fresh())
    }

    pub(crate) fn forget<A: Aggregate>(&self, stream: &StreamId) {
        self.slots.remove(&(TypeId::of::<A>(), stream.clone()));
    }
}

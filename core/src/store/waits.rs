//! Waits inside of a store, which only the store itself can measure.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Where the waits are recorded.
pub(crate) trait WaitRecorder: Send + Sync {
    /// The wait of an append in the store's queue.
    fn queue(&self, wait: Duration);
    /// The wait for a connection of this pool.
    fn pool(&self, pool: &'static str, wait: Duration);
}

/// Records how long callers wait inside of a store: for its writer, and for a connection. Clones share it.
///
/// A store that has either keeps one and returns it by [`EventStore::waits`](crate::EventStore::waits). It records nothing,
/// and reads no clock, before a [`Recount`](crate::Recount) with metrics uses the store.
#[derive(Clone, Default)]
pub struct StoreWaits(Arc<OnceLock<Box<dyn WaitRecorder>>>);

impl StoreWaits {
    /// Has the waits recorded from now on, unless they are already.
    pub(crate) fn record_by(&self, recorder: Box<dyn WaitRecorder>) {
        let _ = self.0.set(recorder);
    }

    /// The start of a wait; `None` if waits are not recorded.
    #[must_use]
    pub fn start(&self) -> Option<Instant> {
        self.0.get().map(|_| Instant::now())
    }

    /// Records the end of a wait in the queue of the store's writer.
    pub fn queued(&self, since: Option<Instant>) {
        if let (Some(recorder), Some(since)) = (self.0.get(), since) {
            recorder.queue(since.elapsed());
        }
    }

    /// Records the end of a wait for a connection of this pool, as [`EventStore::pools`](crate::EventStore::pools) names it.
    pub fn connected(&self, pool: &'static str, since: Option<Instant>) {
        if let (Some(recorder), Some(since)) = (self.0.get(), since) {
            recorder.pool(pool, since.elapsed());
        }
    }
}

impl fmt::Debug for StoreWaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreWaits").field("recorded", &self.0.get().is_some()).finish()
    }
}

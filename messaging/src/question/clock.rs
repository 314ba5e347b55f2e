//! The time by the clock of a store, without a call of the store for each question.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use recount_core::{StateStore, Store, Timestamp};
use tokio::time::{Instant, timeout};

use crate::Message;

/// After this time the store is asked again.
const FRESH: Duration = Duration::from_secs(30);
/// How long the store is waited for. Without its answer the last one counts on, or else this process's clock.
const LIMIT: Duration = Duration::from_secs(2);

/// The longest time of a question.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The deadline of a question has passed.
pub(super) struct Expired;

/// The time by the clock of a store. Clones share the last answer.
#[derive(Clone)]
pub(crate) struct Clock {
    store: Arc<dyn Store>,
    last: Arc<Mutex<Option<(Instant, Timestamp)>>>,
}

impl Clock {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, last: Arc::default() }
    }

    pub(crate) async fn now(&self) -> Timestamp {
        let known = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, time)) = known
            && at.elapsed() < FRESH
        {
            return after(time, at);
        }
        match timeout(LIMIT, self.store.now()).await {
            Ok(Ok(time)) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), time));
                time
            }
            _ => known.map_or_else(Timestamp::now, |(at, time)| after(time, at)),
        }
    }

    /// The time that a question has left, at most [`LONGEST`]. `Ok(None)` if it has no deadline.
    ///
    /// # Errors
    /// [`Expired`] if its deadline has passed.
    pub(super) async fn left(&self, question: &Message) -> Result<Option<Duration>, Expired> {
        let Some(expires) = question.expires else { return Ok(None) };
        let left = Duration::try_from(expires.duration_since(self.now().await)).unwrap_or_default();
        if left.is_zero() { Err(Expired) } else { Ok(Some(left.min(LONGEST))) }
    }
}

fn after(time: Timestamp, at: Instant) -> Timestamp {
    time.checked_add(at.elapsed()).unwrap_or(Timestamp::MAX)
}

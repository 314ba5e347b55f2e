//! The end of a [`Recount`]: consumers first, then the work of dispatch, then the store.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::{Recount, Transient};

/// The longest deadline: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long [`Recount::close`] waits for the work of dispatch: appends end by themselves before that.
const CLOSE_PATIENCE: Duration = Duration::from_secs(60);

/// The parts that had not ended when the time of a [shutdown](Recount::shutdown) was over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not ended within {deadline:?}: {}. What they were doing is undone, or done again after the next start; \
     allow more time, or bound the time that handlers take",
    .parts.join(", ")
)]
pub struct Unfinished {
    /// The time that there was.
    pub deadline: Duration,
    /// The parts, such as `projection accounts` or `the store`.
    pub parts: Vec<String>,
}

impl Transient for Unfinished {
    fn is_transient(&self) -> bool {
        false
    }
}

impl Recount {
    /// Ends the parts that this handle has started, in order: consumers finish the batch or the items that they handle,
    /// then the work of dispatch ends, then the store is closed. Returns at the deadline at the latest.
    ///
    /// The last quarter of the time is kept for the store: consumers that have not ended before are stopped within their
    /// transaction, which is then undone.
    ///
    /// # Errors
    /// Names the parts that did not end in time. The others have ended.
    ///
    /// # Cancel safety
    /// If the future is dropped, the parts that have not ended run on; call it again.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Unfinished> {
        // A longer time overflows the clock.
        let deadline = deadline.min(LONGEST);
        let started = Instant::now();
        let (by, at_last) = (started + deadline * 3 / 4, started + deadline * 7 / 8);
        let mut parts = self.registry.shut_down(by, at_last).await;
        if timeout_at(at_last, self.engine.background.idle()).await.is_err() {
            parts.push("commands that share an append".to_owned());
        }
        if timeout_at(started + deadline, self.engine.store.close()).await.is_err() {
            parts.push("the store".to_owned());
        }
        if parts.is_empty() { Ok(()) } else { Err(Unfinished { deadline, parts }) }
    }
}

impl Recount {
    /// Waits for the tasks that dispatch has started.
    pub(crate) async fn finish_background(&self) {
        if timeout(CLOSE_PATIENCE, self.engine.background.idle()).await.is_err() {
            tracing::error!(tasks = self.engine.background.running(), "commands that share an append have not ended");
        }
    }
}

//! The runtime that a store's tasks run in.

use std::pin::pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

/// The runtime that opened a store and runs its tasks: for stores that leave work to a task of theirs.
///
/// A store may be used from other runtimes. Then nothing says that its own still runs: a current-thread runtime that is
/// not driven any more answers nothing, and does not end either.
#[derive(Clone, Debug)]
pub struct Home {
    runtime: Handle,
    patience: Duration,
}

impl Home {
    /// The runtime that this is called in. It counts as not running if it starts no task in the time of this patience.
    ///
    /// # Panics
    /// Outside of a runtime, as [`tokio::spawn`] does.
    #[must_use]
    pub fn current(patience: Duration) -> Self {
        Self { runtime: Handle::current(), patience }
    }

    /// Waits for an answer of a task of this runtime, for as long as it takes, or until the runtime turns out not to run: then there is none.
    ///
    /// In this runtime, and outside of any, which has no clock, that is waiting for the answer.
    pub async fn answer<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        match Handle::try_current() {
            Ok(here) if here.id() != self.runtime.id() => Box::pin(self.doubtful(answer)).await,
            _ => Some(answer.await),
        }
    }

    async fn doubtful<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        loop {
            if let Ok(answer) = timeout(self.patience / 4, answer.as_mut()).await {
                return Some(answer);
            }
            // An error says that the runtime has ended: its tasks have, too, and the answer says so.
            if timeout(self.patience, self.runtime.spawn(async {})).await.is_err() {
                return None;
            }
        }
    }
}

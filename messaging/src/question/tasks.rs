//! Work on messages of an inbox that goes on when the inbox loses its connection: such a message does not come again.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tracing::Instrument;

/// How many tasks run at once.
const AT_ONCE: usize = 256;

/// Tasks that end with this value.
pub(crate) struct Tasks {
    room: Arc<Semaphore>,
    running: Mutex<JoinSet<()>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(AT_ONCE)), running: Mutex::default() }
    }

    /// Does this work in a task, once there is room for it.
    pub(crate) async fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&self.room).acquire_owned().await else { return };
        let work = async move {
            work.await;
            drop(place);
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = running.try_join_next() {
            note(ended);
        }
        running.spawn(work.in_current_span());
    }

    /// Waits for the tasks, at most this long. The returned set holds the tasks that are left, and ends them when it is dropped.
    pub(crate) async fn ended(&self, within: Duration) -> JoinSet<()> {
        let mut running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        let ending = async {
            while let Some(ended) = running.join_next().await {
                note(ended);
            }
        };
        let _ = timeout(within, ending).await;
        running
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a task of an inbox panicked");
    }
}

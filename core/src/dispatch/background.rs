//! Work of dispatch that outlives the call that began it, counted so that a shutdown can wait for it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The tasks under way. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Background(Arc<Counted>);

#[derive(Default)]
struct Counted {
    running: AtomicUsize,
    ended: Notify,
}

/// A task under way, until this is dropped: at its end, after a panic, or with its runtime.
struct Token(Arc<Counted>);

impl Background {
    /// Starts a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        let token = Token(Arc::clone(&self.0));
        tokio::spawn(async move {
            let _token = token;
            task.await;
        });
    }

    /// How many tasks run.
    pub(crate) fn running(&self) -> usize {
        self.0.running.load(Ordering::Acquire)
    }

    /// Waits until no task runs.
    pub(crate) async fn idle(&self) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

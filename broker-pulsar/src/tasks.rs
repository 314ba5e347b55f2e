//! The tasks of a client of the library, which end together.
//!
//! The library reconnects in the background: each consumer by itself, without a word, and with errors that one consumer hides
//! from the others of a connection, so that some never come back. The adapter reconnects as a whole instead: the first task of a
//! consumer's client that ends, as those of a lost connection do, ends all of them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pulsar::executor::{Delay, ExecutorKind, Interval, JoinHandle};
use pulsar::{Executor, TokioExecutor};
use tokio::sync::watch;

/// The executor of one client.
#[derive(Clone)]
pub(crate) struct Tasks {
    /// Whether they have to end.
    stopped: Arc<watch::Sender<bool>>,
    /// Whether the end of one ends the others.
    joined: Arc<AtomicBool>,
}

impl Tasks {
    /// Tasks that end by themselves, as those do that wait for receipts.
    pub(crate) fn single() -> Self {
        Self { stopped: Arc::new(watch::Sender::new(false)), joined: Arc::new(AtomicBool::new(false)) }
    }

    /// Tasks that all run until the first one ends.
    pub(crate) fn joined() -> Self {
        let tasks = Self::single();
        tasks.joined.store(true, Ordering::Release);
        tasks
    }

    /// Lets tasks end by themselves from now on.
    pub(crate) fn separate(&self) {
        self.joined.store(false, Ordering::Release);
    }

    /// Ends all, with their connections, and lets no new one start.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

impl Executor for Tasks {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) -> Result<(), ()> {
        let mut stopped = self.stopped.subscribe();
        if *stopped.borrow() {
            return Err(());
        }
        let tasks = self.clone();
        // Its value holds a lock, and tasks that are dropped start others: it ends before.
        let stopped = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stopped => {}
                () = task => {
                    if tasks.joined.load(Ordering::Acquire) {
                        tasks.stop();
                    }
                }
            }
        });
        Ok(())
    }

    fn spawn_blocking<F, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        TokioExecutor.spawn_blocking(work)
    }

    fn interval(&self, duration: Duration) -> Interval {
        TokioExecutor.interval(duration)
    }

    fn delay(&self, duration: Duration) -> Delay {
        TokioExecutor.delay(duration)
    }

    fn kind(&self) -> ExecutorKind {
        TokioExecutor.kind()
    }
}

/// A client of the library. Its tasks and connections end with this value.
pub(crate) struct Client {
    pub(crate) pulsar: pulsar::Pulsar<Tasks>,
    pub(crate) tasks: Tasks,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Starts another task when it is dropped, as the library's consumers do, while someone else stops the tasks, too.
    struct StartsAnother(Tasks, mpsc::Sender<bool>);

    impl Drop for StartsAnother {
        fn drop(&mut self) {
            let tasks = self.0.clone();
            let stopping = std::thread::spawn(move || tasks.stop());
            std::thread::sleep(Duration::from_millis(100));
            let refused = self.0.spawn(Box::pin(async {})).is_err();
            stopping.join().unwrap();
            self.1.send(refused).unwrap();
        }
    }

    #[test]
    fn a_task_that_starts_another_as_it_is_dropped_blocks_nobody() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (tasks, (ended, outcome)) = (Tasks::joined(), mpsc::channel());
        let another = StartsAnother(tasks.clone(), ended);
        let entered = runtime.enter();
        let waiting = async move {
            std::future::pending::<()>().await;
            drop(another);
        };
        tasks.spawn(Box::pin(waiting)).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        tasks.stop();
        let refused = outcome.recv_timeout(Duration::from_secs(20));
        drop(entered);
        // Its threads may be blocked.
        runtime.shutdown_background();
        assert_eq!(refused, Ok(true), "it was dropped, and no task starts after the end");
    }
}

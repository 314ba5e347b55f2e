//! The consumers that a [`Recount`](crate::Recount) has started: for its status, its health, and its shutdown.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::check::Watched;
use super::failure::unwound;
use super::{Progress, Runners, Status};
use crate::run::process_status::RunningProcess;
use crate::telemetry::ConsumerMetrics;
use crate::{BoxError, Check, Condition, Position, Timestamp};

/// The consumers held by their owner. One that has stopped stays until it is dropped.
#[derive(Default)]
pub(crate) struct Registry {
    /// The names of the consumers that keep their checkpoints in the store's state.
    pub(super) runners: Runners,
    consumers: Mutex<Vec<Arc<Registered>>>,
    processes: Mutex<Vec<OwnedProcess>>,
    checks: Mutex<Vec<(Weak<()>, CheckFn)>>,
}

/// A check of the health of something that runs.
pub(crate) type CheckFn = Arc<dyn Fn() -> Check + Send + Sync>;

/// A process, and the handle of its owner.
type OwnedProcess = (Weak<()>, Arc<dyn RunningProcess>);

/// One consumer.
pub(crate) struct Registered {
    progress: watch::Receiver<Progress>,
    running: Running,
    /// The application is not ready before it has caught up.
    waited_for: bool,
    /// Its positions are those of the store.
    follows_store: bool,
    watched: Mutex<Watched>,
    pub(crate) metrics: Arc<ConsumerMetrics>,
}

/// The means to stop a consumer.
pub(crate) struct Running {
    /// Gone when the application has dropped the consumers.
    pub(crate) handle: Weak<()>,
    pub(crate) shutdown: watch::Sender<bool>,
    /// `None` if it was refused.
    pub(crate) task: Option<AbortHandle>,
}

impl Registry {
    pub(crate) fn add(&self, consumer: Registered) {
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut consumers);
        consumers.push(Arc::new(consumer));
    }

    pub(crate) fn add_process(&self, owner: Weak<()>, process: Arc<dyn RunningProcess>) {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).push((owner, process));
    }

    pub(crate) fn add_check(&self, owner: Weak<()>, check: CheckFn) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).push((owner, check));
    }

    /// The results of the checks held by their owner. One that panics is a failing check.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let checks = {
            let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
            checks.retain(|(owner, _)| owner.strong_count() > 0);
            // Without the lock: a check may ask for the health, start consumers, or take long.
            checks.clone()
        };
        checks.iter().map(|(_, check)| unwound(|| check()).unwrap_or_else(|panic| panicked(&panic))).collect()
    }

    /// The processes held by their owner.
    pub(crate) fn processes(&self) -> Vec<Arc<dyn RunningProcess>> {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.retain(|(owner, _)| owner.strong_count() > 0);
        processes.iter().map(|(_, process)| Arc::clone(process)).collect()
    }

    /// The consumers that are not over, and those that gave up.
    pub(crate) fn list(&self) -> Vec<Arc<Registered>> {
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut consumers);
        consumers.clone()
    }

    /// Lets the consumers finish the items that they handle, and stops the consumers that have not ended at `by`.
    /// Returns the titles of the stopped consumers.
    pub(crate) async fn shut_down(&self, by: Instant, at_last: Instant) -> Vec<String> {
        let consumers = self.list();
        for consumer in &consumers {
            consumer.running.shutdown.send_replace(true);
        }
        let mut late = Vec::new();
        for consumer in consumers {
            if timeout_at(by, consumer.ended()).await.is_err() {
                consumer.abort();
                late.push(consumer);
            }
        }
        for consumer in &late {
            // A handler that blocks its thread can't be stopped.
            let _ = timeout_at(at_last, consumer.ended()).await;
        }
        late.iter().map(|consumer| consumer.title()).collect()
    }
}

fn panicked(panic: &BoxError) -> Check {
    tracing::error!(%panic, "a health check fails");
    Check {
        name: "check".to_owned(),
        status: Condition::Failing,
        since: Timestamp::now(),
        message: Some("a health check panicked; see the program's log".to_owned()),
    }
}

/// Forgets the consumers that were dropped or shut down.
fn forget(consumers: &mut Vec<Arc<Registered>>) {
    consumers.retain(|consumer| {
        let over = consumer.running.handle.strong_count() == 0 || consumer.progress.borrow().status == Status::ShutDown;
        if over {
            consumer.metrics.state(Status::ShutDown.state(), &Status::STATES);
        }
        !over
    });
}

impl Registered {
    pub(crate) fn new(
        progress: watch::Receiver<Progress>,
        running: Running,
        waited_for: bool,
        follows_store: bool,
        metrics: Arc<ConsumerMetrics>,
    ) -> Self {
        Self { progress, running, waited_for, follows_store, watched: Mutex::default(), metrics }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// How far it is behind the store's head, if its positions are those of the store.
    pub(crate) fn lag(&self, position: Position, head: Option<Position>) -> Option<u64> {
        head.filter(|_| self.follows_store).map(|head| head.get().saturating_sub(position.get()))
    }

    /// Its health, given the store's head if that is known.
    pub(crate) fn check(&self, head: Option<Position>) -> Check {
        let progress = self.progress();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.check(&progress, head.filter(|_| self.follows_store), self.waited_for)
    }

    fn title(&self) -> String {
        let progress = self.progress.borrow();
        format!("{} {}", progress.kind, progress.name)
    }

    /// Waits until its task is gone.
    async fn ended(&self) {
        let mut progress = self.progress.clone();
        while progress.changed().await.is_ok() {}
    }

    fn abort(&self) {
        if let Some(task) = &self.running.task {
            task.abort();
        }
    }
}

//! Running projections: one task each, an owner for all, progress for everybody.

mod batch;
mod progress;
mod task;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use progress::{Progress, Status};

use crate::recount::Inner;
use crate::{Position, Projection, Retry};
use task::Task;

type Start = Box<dyn FnOnce(&Inner, Retry, watch::Receiver<bool>) -> Started + Send>;
type Started = (watch::Receiver<Progress>, Pin<Box<dyn Future<Output = ()> + Send>>);

/// Projections to start together.
#[must_use = "nothing runs until it is started"]
pub struct ProjectionsBuilder {
    application: Arc<Inner>,
    retry: Retry,
    starts: Vec<Start>,
}

impl ProjectionsBuilder {
    pub(crate) fn new(application: Arc<Inner>) -> Self {
        let retry = Retry { retries: 8, first_pause: Duration::from_millis(10), longest_pause: Duration::from_secs(5) };
        Self { application, retry, starts: Vec::new() }
    }

    /// Adds a projection that writes to this read model. Add an `Arc` of it to keep a handle.
    pub fn add<P: Projection>(mut self, projection: P, read_model: P::ReadModel) -> Self {
        self.starts.push(Box::new(move |application, retry, shutdown| {
            let (progress, watched) = watch::channel(Progress::new(P::NAME));
            let (names, store) = (application.names.claim_events::<P::Event>(), Arc::clone(&application.store));
            let task = Task { projection, read_model, store, retry, progress, shutdown, names };
            (watched, Box::pin(task.run()))
        }));
        self
    }

    /// How an event that fails is tried again before its projection stops. Eight times unless set.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Starts them all. Each goes on from its own checkpoint; one that fails stops alone.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Projections {
        let (shutdown, stop) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let progress = self
            .starts
            .into_iter()
            .map(|start| {
                let (progress, task) = start(&self.application, self.retry, stop.clone());
                tasks.spawn(task);
                progress
            })
            .collect();
        Projections { progress, shutdown, tasks }
    }
}

/// Projections that run. Dropping this stops them at once, between or within transactions: nothing is half written.
#[derive(Debug)]
pub struct Projections {
    progress: Vec<watch::Receiver<Progress>>,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Projections {
    /// How far each is, in the order in which they were added.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.progress.iter().map(|progress| progress.borrow().clone()).collect()
    }

    /// Waits until everything up to this position is in every read model: reading your own writes.
    /// Returns only after `setup` has run and the checkpoint was found in the store, even if the store is empty.
    ///
    /// # Errors
    /// The progress of a projection that stopped before it got there.
    ///
    /// # Cancel safety
    /// Only waits: it can be dropped at any point.
    pub async fn wait_for(&self, position: Position) -> Result<(), Progress> {
        for progress in &self.progress {
            let mut progress = progress.clone();
            // An error means that the task is gone; its last word is still there.
            let _ = progress.wait_for(|now| now.has_reached(position) || now.is_over()).await;
            let now = progress.borrow().clone();
            if !now.has_reached(position) {
                return Err(now);
            }
        }
        Ok(())
    }

    /// Lets each finish its transaction, then stops them.
    pub async fn shutdown(mut self) {
        self.shutdown.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "projection task panicked");
            }
        }
    }
}

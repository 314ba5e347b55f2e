//! Consumers that run: their progress, waiting for it, and their end.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Progress;
use crate::Position;

/// Consumers that run. Dropping this stops them at once, between or within transactions: nothing is half written.
#[derive(Debug)]
pub struct Consumers {
    pub(super) started: Vec<(watch::Receiver<Progress>, Positions)>,
    pub(super) shutdown: watch::Sender<bool>,
    pub(super) tasks: JoinSet<()>,
    /// Gone as soon as this is dropped, so that the names are free once the tasks have ended.
    pub(super) _handle: Arc<()>,
}

/// The positions of a consumer's source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positions {
    /// Whether they are those of the application's store.
    pub(super) of_store: bool,
    /// Whether it has any.
    pub(super) any: bool,
}

impl Consumers {
    /// How far each is, in the order in which they were added.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.started.iter().map(|(progress, _)| progress.borrow().clone()).collect()
    }

    /// Waits until every consumer of the store's events has handled everything up to this position: reading your own writes.
    /// Returns only after each sink is set up and its checkpoint was found in the store, even if the store is empty.
    ///
    /// Consumers of another [source](crate::Source) are left out: their positions are not those of the store
    /// ([`FOLLOWS_STORE`](crate::Source::FOLLOWS_STORE)).
    ///
    /// # Errors
    /// The progress of a consumer that stopped before it got there.
    ///
    /// # Cancel safety
    /// Only waits: it can be dropped at any point.
    pub async fn wait_for(&self, position: Position) -> Result<(), Progress> {
        for (progress, _) in self.started.iter().filter(|(_, positions)| positions.of_store) {
            wait_for(progress, position).await?;
        }
        Ok(())
    }

    /// Waits until the consumers of this name have handled everything up to this position, which is one of their source.
    ///
    /// # Errors
    /// The progress of a consumer that stopped before it got there. Also if there is none of this name, or its source has no
    /// [positions](crate::Source::HAS_POSITIONS): the status tells why.
    ///
    /// # Cancel safety
    /// Only waits: it can be dropped at any point.
    pub async fn wait_for_one(&self, name: &str, position: Position) -> Result<(), Progress> {
        let mut named = self.started.iter().filter(|(progress, _)| &*progress.borrow().name == name).peekable();
        if named.peek().is_none() {
            return Err(Progress::missing(name));
        }
        for (progress, positions) in named {
            if !positions.any {
                return Err(progress.borrow().clone().without_positions());
            }
            wait_for(progress, position).await?;
        }
        Ok(())
    }

    /// Lets each finish its transaction or the items that it handles, then stops them.
    pub async fn shutdown(mut self) {
        self.shutdown.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "consumer task panicked");
            }
        }
    }
}

async fn wait_for(progress: &watch::Receiver<Progress>, position: Position) -> Result<(), Progress> {
    let mut progress = progress.clone();
    // An error means that the task is gone; its last progress is still there.
    let _ = progress.wait_for(|now| now.has_reached(position) || now.is_over()).await;
    let now = progress.borrow().clone();
    if now.has_reached(position) { Ok(()) } else { Err(now) }
}

//! The running parts, as data.

use futures_util::future::join_all;
use serde::Serialize;

use crate::{Position, ProcessStatus, Progress, Recount};

/// The parts that a [`Recount`] has started, and their progress. Errors in it may name streams: it is for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplicationStatus {
    /// The store.
    pub store: StoreStatus,
    /// The consumers held by their owner, in the order in which they were started. One that gave up stays, with its
    /// reason, until it is dropped.
    pub consumers: Vec<ConsumerStatus>,
    /// The processes that run here.
    pub processes: Vec<ProcessStatus>,
    /// How many tasks of dispatch are under way.
    pub background: usize,
}

/// A store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreStatus {
    /// The kind of store, such as `sqlite`.
    pub kind: &'static str,
    /// The position of the last event. `None` if the store does not answer.
    pub head: Option<Position>,
}

/// A consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsumerStatus {
    /// How far it is.
    #[serde(flatten)]
    pub progress: Progress,
    /// The distance from its position to the store's head. `None` if its source is not the store, or the store does not
    /// answer.
    pub lag: Option<u64>,
}

impl Recount {
    /// The parts that this handle has started, and their progress.
    pub async fn status(&self) -> ApplicationStatus {
        let head = self.head().await;
        let running = self.registry.processes();
        let processes = join_all(running.iter().map(|process| process.status())).await;
        let consumers = self.registry.list();
        let status = consumers.iter().map(|consumer| {
            let progress = consumer.progress();
            ConsumerStatus { lag: consumer.lag(progress.position, head), progress }
        });
        ApplicationStatus {
            store: StoreStatus { kind: self.engine.store.kind(), head },
            consumers: status.collect(),
            processes,
            background: self.engine.background.running(),
        }
    }
}

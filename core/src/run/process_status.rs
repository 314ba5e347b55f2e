//! Running processes as data.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

use crate::Timestamp;

/// A process that runs here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessStatus {
    /// The name of the process.
    pub name: &'static str,
    /// The counts since the process was started here.
    pub counts: ProcessCounts,
    /// The instances that can't go on, of all programs. `None` if the store does not answer.
    pub troubles: Option<Troubles>,
}

/// The instances of a process that wait for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Troubles {
    /// Instances of which an input, a timer or a command failed.
    pub parked: usize,
    /// Instances that can't go on with their compensation.
    pub stuck: usize,
    /// Since when there are any, or none.
    pub since: Timestamp,
}

/// The counts of a process since it was started here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessCounts {
    /// Steps that were recorded.
    pub steps: u64,
    /// Inputs that were handled before, and came again.
    pub duplicates: u64,
    /// Inputs and timers for instances that have ended.
    pub late: u64,
    /// Inputs for instances that were not started: they are ignored or held.
    pub unknown: u64,
    /// Inputs that the process ignores.
    pub ignored: u64,
    /// Inputs that the process does not expect in its state.
    pub unexpected: u64,
    /// Inputs and timers of parked instances, which wait.
    pub queued: u64,
    /// Timers that were moved or cancelled before they fired.
    pub stale_timers: u64,
    /// Commands that were accepted.
    pub accepted: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Commands that were withdrawn before they took effect.
    pub withdrawn: u64,
    /// Commands that took effect and were undone.
    pub undone: u64,
    /// Compensations that ended.
    pub compensated: u64,
}

/// A process, for the registry of consumers and processes.
pub(crate) trait RunningProcess: Send + Sync {
    /// Looks at the store for instances that can't go on.
    fn status(&self) -> Pin<Box<dyn Future<Output = ProcessStatus> + Send + '_>>;
}

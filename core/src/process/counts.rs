//! Counts of the inputs, timers and commands that a process handled: as data, and as metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::instance::NoStep;
use crate::ProcessCounts;
use crate::telemetry::ProcessMetrics;

/// The counters of a running process.
pub(crate) struct Counts {
    metrics: ProcessMetrics,
    steps: AtomicU64,
    /// In the order of the places in [`Counts::no_step`].
    no_steps: [AtomicU64; 7],
    /// In the order of [`RequestEnd`].
    requests: [AtomicU64; 4],
    compensated: AtomicU64,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestEnd {
    Accepted,
    Refused,
    Withdrawn,
    Undone,
}

impl RequestEnd {
    const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Undone => "undone",
        }
    }
}

impl Counts {
    pub(crate) fn new(metrics: ProcessMetrics) -> Self {
        Self {
            metrics,
            steps: AtomicU64::new(0),
            no_steps: Default::default(),
            requests: Default::default(),
            compensated: AtomicU64::new(0),
        }
    }

    pub(crate) const fn metrics(&self) -> &ProcessMetrics {
        &self.metrics
    }

    /// Counts a step, by its trigger.
    pub(crate) fn step(&self, trigger: &'static str) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.metrics.step(trigger);
    }

    /// Counts an input or timer that led to no step.
    pub(crate) fn no_step(&self, no_step: &NoStep) {
        let (place, name) = match no_step {
            NoStep::Duplicate => (0, "duplicate"),
            NoStep::Late => (1, "late"),
            NoStep::Unknown => (2, "unknown"),
            NoStep::Ignored => (3, "ignored"),
            NoStep::Unexpected => (4, "unexpected"),
            NoStep::Queued => (5, "queued"),
            NoStep::Stale => (6, "stale"),
            // The instance is parked, which is counted there.
            NoStep::Failed(_) => return,
        };
        self.no_steps[place].fetch_add(1, Ordering::Relaxed);
        self.metrics.ignored(name);
    }

    /// Counts the end of a request.
    pub(crate) fn request(&self, command: &str, end: RequestEnd) {
        self.requests[end as usize].fetch_add(1, Ordering::Relaxed);
        self.metrics.request(command, end.name());
    }

    /// Counts a compensation that ended.
    pub(crate) fn compensated(&self) {
        self.compensated.fetch_add(1, Ordering::Relaxed);
        self.metrics.compensation("compensated");
    }

    /// Counts a compensation that can't go on.
    pub(crate) fn stuck(&self) {
        self.metrics.compensation("stuck");
    }

    pub(crate) fn read(&self) -> ProcessCounts {
        let [duplicates, late, unknown, ignored, unexpected, queued, stale_timers] = read(&self.no_steps);
        let [accepted, refused, withdrawn, undone] = read(&self.requests);
        ProcessCounts {
            steps: self.steps.load(Ordering::Relaxed),
            duplicates,
            late,
            unknown,
            ignored,
            unexpected,
            queued,
            stale_timers,
            accepted,
            refused,
            withdrawn,
            undone,
            compensated: self.compensated.load(Ordering::Relaxed),
        }
    }
}

fn read<const N: usize>(counts: &[AtomicU64; N]) -> [u64; N] {
    std::array::from_fn(|place| counts[place].load(Ordering::Relaxed))
}

//! The time at which a step is decided.

use std::time::Duration;

use crate::Timestamp;

/// The time of an input, as handlers see it: when an event was recorded, or when a timer was due. It is the same if the step is
/// decided again, so handlers never ask a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    time: Timestamp,
}

impl Moment {
    /// This time.
    #[must_use]
    pub const fn new(time: Timestamp) -> Self {
        Self { time }
    }

    /// The time.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// This much later; the latest possible time if that is past it.
    #[must_use]
    pub fn after(&self, duration: Duration) -> Timestamp {
        self.time.saturating_add(duration).unwrap_or(Timestamp::MAX)
    }
}

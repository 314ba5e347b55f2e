//! How often and how fast a conflict is tried again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// How conflicts are retried: exponential backoff with jitter, and a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often to try again after the first attempt.
    pub retries: usize,
    /// The first pause; each further one is twice as long, plus a random part of it.
    pub first_pause: Duration,
    /// The longest pause, before the random part.
    pub longest_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { retries: 20, first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(100) }
    }
}

impl Retry {
    /// The pauses, one by one, until the bound.
    pub(crate) fn backoff(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .with_max_times(self.retries)
            .with_jitter()
            .build()
    }
}

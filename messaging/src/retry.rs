//! When a message that fails is tried again.

use std::time::Duration;

/// When a message that fails is tried again: first in place, while the messages of its key wait in memory, then from the
/// store, while they wait there. After that it is a dead letter.
///
/// Only failures that are the message's own count. One that [time heals](recount_core::is_transient) is tried again without
/// limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPlan {
    /// How often it is tried in place. 5 by default; at least 1.
    pub in_place: u32,
    /// The bound of the first pause in place. Each next bound is twice as long, up to a second; the pause is drawn below
    /// its bound at random ("full jitter"). 20 milliseconds by default.
    pub first_pause: Duration,
    /// How often it is tried from the store. 8 by default.
    pub stored: u32,
    /// The bound of the first delay from the store. Each next bound is twice as long. 10 seconds by default.
    pub first_delay: Duration,
    /// The greatest bound of a delay. 15 minutes by default.
    pub longest_delay: Duration,
}

/// The greatest bound of a pause in place.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Default for RetryPlan {
    fn default() -> Self {
        Self {
            in_place: 5,
            first_pause: Duration::from_millis(20),
            stored: 8,
            first_delay: Duration::from_secs(10),
            longest_delay: Duration::from_secs(15 * 60),
        }
    }
}

impl RetryPlan {
    /// Each message is tried once, and is then a dead letter.
    #[must_use]
    pub fn never() -> Self {
        Self { in_place: 1, stored: 0, ..Self::default() }
    }

    /// The pause before the next attempt in place, after so many failures. `None` if there is none.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Option<Duration> {
        (failures < self.in_place).then(|| jitter(self.first_pause, failures, LONGEST_PAUSE))
    }

    /// The delay before the next attempt from the store, after so many of them. `None` if there is none.
    #[must_use]
    pub fn delay(&self, attempts: u32) -> Option<Duration> {
        (attempts < self.stored).then(|| jitter(self.first_delay, attempts + 1, self.longest_delay))
    }
}

/// A time below the bound of this failure, which counts from 1.
pub(crate) fn jitter(first: Duration, failures: u32, longest: Duration) -> Duration {
    let bound = first.saturating_mul(1 << (failures.max(1) - 1).min(20)).min(longest);
    bound.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_below_their_bounds_and_end() {
        let plan = RetryPlan::default();
        for (failures, bound) in [(1, 20), (2, 40), (3, 80), (4, 160)] {
            let pauses: Vec<_> = (0..200).filter_map(|_| plan.pause(failures)).map(|pause| pause.as_millis()).collect();
            assert_eq!(pauses.len(), 200);
            assert!(pauses.iter().all(|pause| *pause <= bound), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause > bound / 2) && pauses.iter().any(|pause| *pause < bound / 2));
        }
        assert_eq!(plan.pause(5), None);
    }

    #[test]
    fn delays_double_up_to_the_longest_and_end() {
        let plan = RetryPlan::default();
        let longest = |attempts| (0..500).filter_map(|_| plan.delay(attempts)).max().unwrap_or_default().as_secs_f64();
        for (attempts, bound) in [(0, 10.0), (1, 20.0), (2, 40.0), (6, 640.0), (7, 900.0)] {
            assert!(longest(attempts) <= bound && longest(attempts) > bound * 0.8, "{attempts}");
        }
        assert_eq!((plan.delay(8), RetryPlan::never().delay(0), RetryPlan::never().pause(1)), (None, None, None));
    }
}

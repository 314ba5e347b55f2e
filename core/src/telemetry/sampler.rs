//! The choice of the operations that are timed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Operations that take less are sampled: reading the clock twice and recording the result would be a notable part of them.
const FAST: Duration = Duration::from_micros(20);
/// One of so many fast operations is timed.
const ONE_IN: u32 = 32;

/// Times each operation while they are slow, and one in [`ONE_IN`] while they are fast.
pub(crate) struct Sampler {
    enabled: bool,
    /// How many operations are not timed before the next one is.
    skip: AtomicU32,
}

impl Sampler {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, skip: AtomicU32::new(0) }
    }

    /// The start of an operation, if it is timed.
    pub(crate) fn start(&self) -> Option<Instant> {
        if !self.enabled {
            return None;
        }
        // A load and a store instead of one atomic update: a lost update changes only the choice of the sample.
        match self.skip.load(Ordering::Relaxed) {
            0 => Some(Instant::now()),
            skip => {
                self.skip.store(skip - 1, Ordering::Relaxed);
                None
            }
        }
    }

    /// How long the operation took, if it is timed.
    pub(crate) fn stop(&self, started: Option<Instant>) -> Option<Duration> {
        let elapsed = started?.elapsed();
        if elapsed < FAST {
            self.skip.store(ONE_IN - 1, Ordering::Relaxed);
        }
        Some(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{ONE_IN, Sampler};

    fn timed(sampler: &Sampler, count: usize) -> usize {
        let operation = || sampler.stop(sampler.start()).is_some();
        (0..count).filter(|_| operation()).count()
    }

    #[test]
    fn fast_operations_are_sampled() {
        let sampler = Sampler::new(true);
        let count = 10 * ONE_IN as usize;
        let timed = timed(&sampler, count);
        // A pause of the machine makes a fast operation slow, and the next one is timed too.
        assert!((10..count / 2).contains(&timed), "{timed} of {count}");
    }

    #[test]
    fn slow_operations_are_all_timed() {
        let sampler = Sampler::new(true);
        for _ in 0..3 {
            assert!(sampler.start().is_some());
            let long_ago = Instant::now().checked_sub(Duration::from_millis(1));
            assert!(sampler.stop(long_ago).is_some());
        }
    }

    #[test]
    fn nothing_is_timed_without_a_recorder() {
        assert_eq!(timed(&Sampler::new(false), 100), 0);
    }
}

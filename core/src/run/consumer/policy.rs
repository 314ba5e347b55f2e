//! The retry policy: pauses with full jitter, and a time budget for a bad item.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::Class;

/// The shortest pause after another runner has moved the checkpoint: two programs that take turns waste the work of each
/// turn.
const TURN: Duration = Duration::from_secs(1);

/// How a consumer tries an item again that fails. The budget is the item's own: time during which the store or the read
/// model can't be reached doesn't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// How long an item is tried before the consumer stops. 30 seconds by default.
    pub time: Duration,
    /// The upper bound of the first pause; each further bound is twice as long. The pause is drawn below it at random.
    pub first_pause: Duration,
    /// The greatest upper bound of a pause.
    pub longest_pause: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(5),
        }
    }
}

/// The failures of an item, or of a consumer, in a row.
#[derive(Debug)]
pub(crate) struct Attempts {
    budget: RetryBudget,
    /// Failures since the last success.
    pub(crate) failures: usize,
    /// The part of the budget that is used up.
    spent: Duration,
    /// The last failure, if an item was to blame for it: from there on the time counts.
    bad: Option<Instant>,
}

impl Attempts {
    pub(crate) fn new(budget: RetryBudget) -> Self {
        Self { budget, failures: 0, spent: Duration::ZERO, bad: None }
    }

    /// Forgets all failures.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.budget);
    }

    /// Counts a failure; the pause before the next attempt, or `None` if there shall be none.
    pub(crate) fn failed(&mut self, class: Class) -> Option<Duration> {
        match class {
            Class::Final | Class::Lost => return None,
            Class::Transient | Class::Elsewhere => self.bad = None,
            Class::Bad => {
                let now = Instant::now();
                self.spent += self.bad.replace(now).map_or(Duration::ZERO, |last| now - last);
                if self.spent >= self.budget.time {
                    return None;
                }
            }
        }
        self.failures += 1;
        Some(self.pause(class))
    }

    fn pause(&self, class: Class) -> Duration {
        let doublings = u32::try_from(self.failures - 1).unwrap_or(u32::MAX).min(20);
        if class == Class::Elsewhere {
            let longest = self.budget.longest_pause.max(TURN * 2);
            return TURN + ((TURN * 2).saturating_mul(1 << doublings).min(longest) - TURN).mul_f64(fastrand::f64());
        }
        let bound = self.budget.first_pause.saturating_mul(1 << doublings).min(self.budget.longest_pause);
        let pause = bound.mul_f64(fastrand::f64());
        // The last attempt is made when the budget ends, not long after it.
        if class == Class::Bad { pause.min(self.budget.time - self.spent) } else { pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bad_item_is_given_up_when_its_budget_is_used_up() {
        let mut attempts = Attempts::new(RetryBudget::default());
        let started = Instant::now();
        while let Some(pause) = attempts.failed(Class::Bad) {
            tokio::time::sleep(pause).await;
        }
        let took = started.elapsed();
        assert!((30..32).contains(&took.as_secs()), "{took:?}");
        assert!(attempts.failures > 5);
    }

    #[tokio::test(start_paused = true)]
    async fn another_runner_is_waited_for_by_growing_pauses_of_a_second_at_least() {
        for longest_pause in [Duration::from_millis(50), Duration::from_secs(5)] {
            let mut attempts = Attempts::new(RetryBudget { longest_pause, ..RetryBudget::default() });
            let pauses: Vec<_> = (0..1000).map(|_| attempts.failed(Class::Elsewhere).unwrap()).collect();
            assert!(pauses.iter().all(|pause| (1000..=5000).contains(&pause.as_millis())), "{pauses:?}");
            assert!(pauses[0].as_millis() <= 2000 && pauses[500] != pauses[501]);
            assert_eq!(pauses.iter().any(|pause| pause.as_secs() >= 3), longest_pause.as_secs() > 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_uses_up_no_budget() {
        let mut attempts = Attempts::new(RetryBudget::default());
        for _ in 0..1000 {
            let pause = attempts.failed(Class::Transient).unwrap();
            assert!(pause <= Duration::from_secs(5));
            tokio::time::sleep(pause).await;
        }
        assert!(attempts.failed(Class::Bad).is_some());
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert!(attempts.failed(Class::Bad).is_some());
        attempts.failed(Class::Transient);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(attempts.failed(Class::Bad).is_some());
        assert!(attempts.failed(Class::Final).is_none());
    }
}

//! When a failure of a consumer in lanes is overcome, so that the next one has the whole retry budget.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::Class;

/// The progress of the current run since the run before it failed.
pub(crate) struct Recovery {
    /// The class of the failure, until it is overcome.
    failure: Option<Class>,
    /// How many items were delivered before the failure and come again.
    ahead: u64,
    /// When the current run began.
    began: Instant,
    caught_up: bool,
    delivered: u64,
    /// How many items are below the watermark.
    handled: u64,
    /// How many items are below the mark that is being stored.
    storing: u64,
    /// How many items don't come again: they are below the stored mark, or settled.
    kept: u64,
}

impl Recovery {
    pub(crate) fn new() -> Self {
        let began = Instant::now();
        Self { failure: None, ahead: 0, began, caught_up: false, delivered: 0, handled: 0, storing: 0, kept: 0 }
    }

    /// The next run begins, after a failure of this class.
    pub(crate) fn begin(&mut self, failure: Option<Class>) {
        let ahead = self.ahead.max(self.delivered).saturating_sub(self.kept);
        *self = Self { failure, ahead, ..Self::new() };
    }

    /// An item was delivered. Returns whether the failure is overcome by that.
    pub(crate) fn delivered(&mut self, has_mark: bool) -> bool {
        self.delivered += 1;
        self.overcome(|failure| reached(failure, has_mark))
    }

    /// The source has nothing more. Returns whether the status recovers. A source that fails for good may say that each time
    /// before it fails, so that alone does not give back the budget.
    pub(crate) fn caught_up(&mut self, has_mark: bool) -> bool {
        self.caught_up = true;
        self.overcome(|failure| reached(failure, has_mark)) || self.failure == Some(Class::Bad)
    }

    /// The watermark has moved over items. Returns whether the failure is overcome by that.
    pub(crate) fn handled(&mut self, items: u64) -> bool {
        self.handled += items;
        let beyond = self.handled > self.ahead;
        self.overcome(|failure| failure == Class::Bad && beyond)
    }

    /// The present watermark is about to be stored.
    pub(crate) fn storing(&mut self) {
        self.storing = self.handled;
    }

    /// The mark was stored. Returns whether the failure is overcome by that.
    pub(crate) fn stored(&mut self) -> bool {
        self.kept = self.storing;
        self.overcome(|failure| failure == Class::Elsewhere)
    }

    /// Items without marks were settled.
    pub(crate) fn settled(&mut self, items: u64) {
        self.kept += items;
    }

    /// Whether the failure before the current run is overcome, also since the run has lasted for `long`.
    pub(crate) fn is_overcome(&self, long: Duration) -> bool {
        self.failure.is_none() || self.failure == Some(Class::Bad) && self.caught_up && self.began.elapsed() >= long
    }

    fn overcome(&mut self, by: impl FnOnce(Class) -> bool) -> bool {
        self.failure.take_if(|failure| by(*failure)).is_some()
    }
}

/// Whether a delivery overcomes the failure. Where there are no marks, another runner can't have moved them.
fn reached(failure: Class, has_mark: bool) -> bool {
    failure == Class::Transient || failure == Class::Elsewhere && !has_mark
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_permanent_failure_is_overcome_by_an_item_beyond_it() {
        let mut recovery = Recovery::new();
        recovery.begin(None);
        (0..5).for_each(|_| assert!(!recovery.delivered(true)));
        assert!(!recovery.handled(4));
        recovery.storing();
        recovery.stored();
        // Two of the five items come again.
        recovery.handled(1);
        for _ in 0..3 {
            recovery.begin(Some(Class::Bad));
            assert!(!recovery.delivered(true) && !recovery.handled(1) && !recovery.is_overcome(LONG));
        }
        recovery.begin(Some(Class::Bad));
        assert!(!recovery.handled(1) && recovery.handled(1) && recovery.is_overcome(LONG));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_time_at_the_end_of_the_source_overcomes_it() {
        let mut recovery = Recovery::new();
        recovery.begin(Some(Class::Bad));
        assert!(recovery.caught_up(true) && !recovery.is_overcome(LONG));
        tokio::time::advance(LONG).await;
        assert!(recovery.is_overcome(LONG));
    }

    #[tokio::test(start_paused = true)]
    async fn another_runner_is_overcome_by_an_own_mark_and_an_outage_by_any_delivery() {
        let mut recovery = Recovery::new();
        recovery.begin(Some(Class::Elsewhere));
        assert!(!recovery.delivered(true) && !recovery.handled(1) && !recovery.caught_up(true));
        assert!(recovery.stored() && recovery.is_overcome(LONG));
        recovery.begin(Some(Class::Transient));
        assert!(!recovery.is_overcome(LONG) && recovery.caught_up(true) && recovery.is_overcome(LONG));
    }
}

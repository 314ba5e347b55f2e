//! The health of a consumer, from its progress and the store's head.

use std::time::Duration;

use tokio::time::Instant;

use super::{Progress, Status};
use crate::{Check, Condition, Position, Timestamp};

/// How long a consumer may be behind without moving.
const STUCK: Duration = Duration::from_secs(30);

/// The observations of a consumer's earlier health checks.
#[derive(Default)]
pub(crate) struct Watched {
    position: Position,
    /// The greatest head so far.
    head: Position,
    /// The first of the checks in a row that found it behind at the same position.
    behind: Option<Instant>,
    /// The status of the last check, and since when it was that.
    last: Option<(Condition, Timestamp)>,
}

impl Watched {
    pub(crate) fn check(&mut self, progress: &Progress, head: Option<Position>, waited_for: bool) -> Check {
        let stuck = self.is_stuck(progress.position, head);
        let (status, message) = judge(progress, stuck, waited_for);
        let since = match self.last {
            Some((last, since)) if last == status => since,
            _ if stuck => Timestamp::now(),
            _ => progress.since,
        };
        self.last = Some((status, since));
        let name = format!("{}:{}", progress.kind, progress.name);
        Check { name, status, since, message: message.map(str::to_owned) }
    }

    /// Whether it is behind, and has not moved for too long.
    fn is_stuck(&mut self, position: Position, head: Option<Position>) -> bool {
        let moved = std::mem::replace(&mut self.position, position) != position;
        self.head = self.head.max(head.unwrap_or_default());
        if moved || position >= self.head {
            self.behind = None;
        }
        position < self.head && self.behind.get_or_insert_with(Instant::now).elapsed() >= STUCK
    }
}

/// The status and its reason, in words that name no stream and no error of a handler: health is often public.
fn judge(progress: &Progress, stuck: bool, waited_for: bool) -> (Condition, Option<&'static str>) {
    let (status, message) = match &progress.status {
        Status::Stopped { .. } => (
            Condition::Failing,
            "it gave up and handles nothing more; see the program's log for the reason, and start it again",
        ),
        _ if stuck => {
            (Condition::Failing, "it is behind and has not moved for 30 seconds; see its status and the program's log")
        }
        Status::CatchingUp | Status::Waiting { .. } | Status::Retrying { .. } if waited_for && !progress.caught_up => {
            (Condition::Starting, "it has not caught up since the start")
        }
        Status::Waiting { .. } => (
            Condition::Degraded,
            "the store or what it writes to can't be reached, or it runs elsewhere too; it is tried again without limit",
        ),
        Status::Retrying { .. } => {
            (Condition::Degraded, "an event fails; it is tried again until its retry budget is used up")
        }
        Status::CatchingUp | Status::Live | Status::ShutDown => return (Condition::Ok, None),
    };
    (status, Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConsumerKind;
    use crate::run::consumer::reporter::Reporter;

    fn at(position: u64) -> Progress {
        let (reporter, progress) = Reporter::new(ConsumerKind::Projection, "p");
        reporter.advance(Position::new(position), 0, false);
        progress.borrow().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn behind_and_not_moving_is_failing_until_it_moves() {
        let mut watched = Watched::default();
        let mut status =
            |position, head: Option<u64>| watched.check(&at(position), head.map(Position::new), false).status;
        let wait = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        assert_eq!(status(10, Some(10)), Condition::Ok);
        wait(3600).await;
        // Events came just now: an hour without any is no time behind.
        assert_eq!(status(10, Some(11)), Condition::Ok);
        wait(29).await;
        assert_eq!(status(10, Some(20)), Condition::Ok);
        wait(1).await;
        assert_eq!(status(10, Some(20)), Condition::Failing);
        // A store that can't be asked makes it no better.
        assert_eq!(status(10, None), Condition::Failing);
        assert_eq!(status(11, Some(20)), Condition::Ok);
        wait(29).await;
        assert_eq!(status(12, Some(20)), Condition::Ok);
        wait(29).await;
        assert_eq!(status(12, Some(20)), Condition::Ok);
        wait(2).await;
        assert_eq!(status(12, Some(20)), Condition::Failing);
        assert_eq!(status(20, Some(20)), Condition::Ok);
    }
}

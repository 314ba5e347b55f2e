//! Publishing the progress of a consumer: the status is derived from its troubles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::failure::Class;
use super::{ConsumerKind, Progress, Rebuild, Status};
use crate::{Position, Timestamp};

/// The identifier of the consumer's own trouble, beside those of its lanes.
pub(crate) const WHOLE: u64 = u64::MAX;

/// The identifier of the trouble to store the watermark.
pub(crate) const STORING: u64 = u64::MAX - 1;

/// Publishes the progress of a consumer. Dropped before the end, it publishes that the consumer stopped.
pub(crate) struct Reporter {
    sender: watch::Sender<Progress>,
    doing: Mutex<Doing>,
}

/// The facts that the status is derived from.
#[derive(Default)]
struct Doing {
    live: bool,
    /// Lanes that fail, and whether an item is to blame.
    troubles: BTreeMap<u64, (Class, Status)>,
}

impl Doing {
    fn status(&self) -> Status {
        let bad = self.troubles.values().find(|(class, _)| *class == Class::Bad);
        match bad.or_else(|| self.troubles.values().next()) {
            Some((_, status)) => status.clone(),
            None if self.live => Status::Live,
            None => Status::CatchingUp,
        }
    }
}

impl Reporter {
    pub(crate) fn new(kind: ConsumerKind, name: &str) -> (Self, watch::Receiver<Progress>) {
        let (sender, receiver) = watch::channel(Progress {
            name: name.into(),
            kind,
            position: Position::START,
            events: 0,
            status: Status::CatchingUp,
            rebuild: None,
            since: Timestamp::now(),
            valid: false,
            caught_up: false,
        });
        (Self { sender, doing: Mutex::default() }, receiver)
    }

    /// The consumer goes on from this checkpoint, which may have been moved back since the consumer last read it.
    pub(crate) fn begin_at(&self, position: Position) {
        self.sender.send_if_modified(|progress| std::mem::replace(&mut progress.position, position) != position);
    }

    /// Notes how far the consumer is, and wakes the callers that wait for that.
    pub(crate) fn advance(&self, to: Position, events: u64, notify: bool) {
        self.sender.send_if_modified(|progress| {
            progress.position = progress.position.max(to);
            progress.events += events;
            if progress.rebuild.is_some_and(|rebuild| progress.position >= rebuild.to) {
                progress.rebuild = None;
            }
            notify
        });
    }

    /// The consumer starts over: the events that it had handled, up to `from`, no longer count as handled.
    pub(crate) fn start_over(&self, from: Position) {
        self.live(false);
        self.sender.send_modify(|progress| {
            progress.position = Position::START;
            let rebuild = Rebuild { to: from, since: Timestamp::now(), events_before: progress.events };
            progress.rebuild = (from > Position::START).then_some(rebuild);
        });
    }

    /// Marks the position as valid or not, so that callers that wait for a position may rely on it.
    pub(crate) fn validate(&self, valid: bool) {
        self.sender.send_if_modified(|progress| std::mem::replace(&mut progress.valid, valid) != valid);
    }

    /// Whether the consumer has caught up.
    pub(crate) fn live(&self, live: bool) {
        let mut doing = self.doing();
        doing.live = live;
        self.sender.send_if_modified(|progress| {
            progress.caught_up |= live;
            false
        });
        self.publish(doing.status());
    }

    /// An item fails, or the whole consumer.
    pub(crate) fn failing(&self, what: u64, class: Class, failures: usize, error: Arc<str>) {
        let mut doing = self.doing();
        doing.troubles.insert(what, (class, trouble(class, failures, error)));
        self.publish(doing.status());
    }

    /// The class of its failure, if it fails.
    pub(crate) fn trouble(&self, what: u64) -> Option<Class> {
        self.doing().troubles.get(&what).map(|(class, _)| *class)
    }

    /// How often the whole consumer has failed in a row.
    pub(crate) fn failures(&self) -> usize {
        match self.doing().troubles.get(&WHOLE) {
            Some((_, Status::Waiting { failures, .. } | Status::Retrying { failures, .. })) => *failures,
            _ => 0,
        }
    }

    /// It no longer fails.
    pub(crate) fn recovered(&self, what: u64) {
        let mut doing = self.doing();
        if doing.troubles.remove(&what).is_some() {
            self.publish(doing.status());
        }
    }

    /// A run has ended with a failure: it is no longer live, and nothing is under way in its lanes.
    pub(crate) fn run_failed(&self, class: Class, failures: usize, error: Arc<str>) {
        let mut doing = self.doing();
        doing.live = false;
        doing.troubles.retain(|what, _| *what == WHOLE);
        doing.troubles.insert(WHOLE, (class, trouble(class, failures, error)));
        self.publish(doing.status());
    }

    pub(crate) fn stopped(&self, error: Arc<str>) {
        self.publish(Status::Stopped { error });
    }

    pub(crate) fn shut_down(&self) {
        self.publish(Status::ShutDown);
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, status: Status) {
        self.sender.send_if_modified(|progress| {
            if progress.status == status || progress.is_over() {
                return false;
            }
            if std::mem::discriminant(&progress.status) != std::mem::discriminant(&status) {
                progress.since = Timestamp::now();
            }
            progress.status = status;
            true
        });
    }
}

/// The status of a consumer that fails.
fn trouble(class: Class, failures: usize, error: Arc<str>) -> Status {
    match class {
        Class::Transient | Class::Elsewhere => Status::Waiting { failures, error },
        Class::Bad | Class::Final | Class::Lost => Status::Retrying { failures, error },
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stopped("its task was aborted, or the runtime of the task ended".into());
    }
}

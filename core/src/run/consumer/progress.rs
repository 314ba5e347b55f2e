//! How far consumers are, as data.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use super::failure::Class;
use crate::{Position, Timestamp};

/// How far one consumer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The consumer's name.
    pub name: Arc<str>,
    /// The kind of consumer.
    pub kind: ConsumerKind,
    /// Everything up to here is handled.
    pub position: Position,
    /// How many events it has handled since it was started here.
    pub events: u64,
    /// The current status.
    pub status: Status,
    /// Set during a rebuild: while it handles again the events that it had handled before it started over.
    pub rebuild: Option<Rebuild>,
    /// The time of the last change of the status to another kind.
    pub since: Timestamp,
    /// Whether the position is valid: the sink is set up, and its checkpoint was found in the store.
    #[serde(skip)]
    pub(crate) valid: bool,
    /// Whether it has been live since it was started.
    #[serde(skip)]
    pub(crate) caught_up: bool,
}

/// A rebuild: a projection handles again the events that it had handled before it started over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rebuild {
    /// Where it was when it started over. Beyond that it only catches up.
    pub to: Position,
    /// When it started over.
    pub since: Timestamp,
    /// [`Progress::events`] at that time.
    events_before: u64,
}

impl Progress {
    /// How many events per second it handles since it started over; `None` if it doesn't rebuild.
    #[must_use]
    pub fn rebuild_rate(&self) -> Option<f64> {
        let rebuild = self.rebuild?;
        let seconds = Timestamp::now().duration_since(rebuild.since).as_secs_f64().max(f64::MIN_POSITIVE);
        Some((self.events - rebuild.events_before) as f64 / seconds)
    }
}

/// The kind of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ConsumerKind {
    /// A [`Projection`](crate::Projection).
    Projection,
    /// A [`Reaction`](crate::Reaction).
    Reaction,
    /// A part of a [`Process`](crate::Process).
    Process,
    /// A [`Sink`](crate::Sink) of the application's own.
    Sink,
}

impl fmt::Display for ConsumerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ConsumerKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Projection => "projection",
            Self::Reaction => "reaction",
            Self::Process => "process",
            Self::Sink => "sink",
        }
    }
}

/// The status of a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// Handling history.
    CatchingUp,
    /// Up to date; handles events as they come.
    Live,
    /// The store or the sink can't be reached, or another runner of that name has moved the checkpoint. It is tried
    /// again without limit, and goes on by itself.
    Waiting {
        /// How often it failed in a row.
        failures: usize,
        /// The last failure.
        error: Arc<str>,
    },
    /// An event fails; it is tried again until its [retry budget](crate::RetryBudget) is used up.
    Retrying {
        /// How often it failed in a row.
        failures: usize,
        /// The last failure.
        error: Arc<str>,
    },
    /// It gave up: nothing more is handled until it is started again. The application is not healthy.
    Stopped {
        /// Why.
        error: Arc<str>,
    },
    /// It was shut down.
    ShutDown,
}

impl Progress {
    /// No consumer has this name.
    pub(crate) fn missing(name: &str) -> Self {
        let (reporter, progress) = Reporter::new(ConsumerKind::Sink, name);
        reporter.stopped("no consumer of this name was added".into());
        progress.borrow().clone()
    }

    /// Whether everything up to this position is handled, and the position can be relied on.
    pub(crate) fn has_reached(&self, position: Position) -> bool {
        self.valid && self.position >= position
    }

    /// Whether it will not go on by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Stopped { .. } | Status::ShutDown)
    }
}

impl Status {
    /// The names of all states.
    pub(crate) const STATES: [&str; 6] = ["catching_up", "live", "waiting", "retrying", "stopped", "shut_down"];

    /// The name of the state.
    pub(crate) const fn state(&self) -> &'static str {
        let index = match self {
            Self::CatchingUp => 0,
            Self::Live => 1,
            Self::Waiting { .. } => 2,
            Self::Retrying { .. } => 3,
            Self::Stopped { .. } => 4,
            Self::ShutDown => 5,
        };
        Self::STATES[index]
    }
}

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
        let status = match class {
            Class::Transient | Class::Elsewhere => Status::Waiting { failures, error },
            Class::Bad | Class::Final | Class::Lost => Status::Retrying { failures, error },
        };
        let mut doing = self.doing();
        doing.troubles.insert(what, (class, status));
        self.publish(doing.status());
    }

    /// Whether it fails.
    pub(crate) fn is_failing(&self, what: u64) -> bool {
        self.doing().troubles.contains_key(&what)
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

    /// Nothing is under way any more in the lanes.
    pub(crate) fn lanes_ended(&self) {
        let mut doing = self.doing();
        doing.troubles.retain(|what, _| *what == WHOLE);
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

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stopped("its task was aborted, or the runtime of the task ended".into());
    }
}

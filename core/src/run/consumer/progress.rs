//! How far consumers are, as data.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::reporter::Reporter;
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
    pub(super) events_before: u64,
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
    /// An [`Activity`](crate::Activity).
    Activity,
    /// A part of a [`Process`](crate::Process).
    Process,
    /// A [`Sink`](crate::Sink) of the application's own.
    Sink,
    /// Publishes events to a message broker.
    Relay,
    /// Handles the messages of a message broker.
    Inbox,
    /// Announces a service at a message broker. It keeps no checkpoint.
    Announcer,
    /// Finds the topics of a pattern at a message broker, and starts an inbox for each. It keeps no checkpoint.
    Discovery,
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
            Self::Activity => "activity",
            Self::Process => "process",
            Self::Sink => "sink",
            Self::Relay => "relay",
            Self::Inbox => "inbox",
            Self::Announcer => "announcer",
            Self::Discovery => "discovery",
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

    /// This consumer can't be waited for.
    pub(crate) fn without_positions(self) -> Self {
        let error = "its source has no positions, so there is none to wait for: set `Source::HAS_POSITIONS` and define \
                     `Source::position`, or look at the number of its events";
        Self { status: Status::Stopped { error: error.into() }, ..self }
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

//! How far projections are, as data.

use std::sync::Arc;

use crate::Position;

/// How far one projection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The projection's name.
    pub projection: &'static str,
    /// Everything up to here is in the read model.
    pub position: Position,
    /// How many events it has taken since it was started here.
    pub events: u64,
    /// What it is doing.
    pub status: Status,
    /// Whether the position is valid: the read model is set up, and its checkpoint was found in the store.
    pub(crate) valid: bool,
}

/// What a projection is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Taking history.
    CatchingUp,
    /// Up to date; takes events as they come.
    Live,
    /// An event or the read model failed; it is tried again.
    Retrying {
        /// How often it failed in a row.
        failures: usize,
        /// The last failure.
        error: Arc<str>,
    },
    /// It gave up: nothing more gets into the read model until it is started again. The application is not healthy.
    Stopped {
        /// Why.
        error: Arc<str>,
    },
    /// It was shut down.
    ShutDown,
}

impl Progress {
    pub(crate) fn new(projection: &'static str) -> Self {
        Self { projection, position: Position::START, events: 0, status: Status::CatchingUp, valid: false }
    }

    /// Whether the read model is there, with everything up to this position in it.
    pub(crate) fn has_reached(&self, position: Position) -> bool {
        self.valid && self.position >= position
    }

    /// Whether it will not go on by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Stopped { .. } | Status::ShutDown)
    }
}

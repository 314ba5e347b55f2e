//! The receipt of a dispatched command or a recorded decision.

use crate::{Position, StreamVersion};

/// The outcome of a dispatched command or decision: new stream version, store position, recorded events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a receipt says what happened; drop it with `let _ =` if nobody asks"]
pub struct Receipt<E> {
    /// The version of the aggregate's stream afterwards, zero if it is erased; for a decision, of the stream of its last
    /// event.
    pub version: StreamVersion,
    /// A projection that has reached this position has seen the events: wait for it there. It is the position of the
    /// last event of the append, which may belong to another command for the same aggregate. `None` without events.
    pub position: Option<Position>,
    /// The events, in the order of their positions: a decision's events of one stream are recorded together. A repetition
    /// lacks events that were erased since.
    pub events: Vec<E>,
    /// Whether this happened before: the idempotency key was known, and nothing was added now.
    pub repeated: bool,
}

impl<E> Receipt<E> {
    /// The receipt of a wish that needed nothing to happen.
    pub(crate) fn nothing(version: StreamVersion) -> Self {
        Self { version, position: None, events: Vec::new(), repeated: false }
    }
}

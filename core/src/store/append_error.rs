//! How appends fail: conflicts, wrong requests, and the store's failures.

use crate::{
    EventId, ExpectedVersion, IdempotencyKey, NameError, Position, RecordedEvent, StoreError, StreamId, StreamVersion,
};

/// How an append can fail. In every case nothing was written, except where [`StoreError::OutcomeUnknown`] says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The store is not as expected: an ordinary outcome where writers compete.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The request itself is wrong; nothing was sent to the store.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),
    /// The idempotency key was used before, for something else.
    #[error("idempotency key {key} was already used for other content: use a new key for a new request")]
    KeyReused {
        /// The key.
        key: IdempotencyKey,
    },
    /// Requests that share the append were recorded before. Leave them out, and look up their outcomes by key.
    #[error("{} of the requests that share an append were recorded before", .keys.len())]
    KeysKnown {
        /// The known keys of the append's slices.
        keys: Vec<IdempotencyKey>,
    },
    /// The store already holds an event with this id.
    #[error("event id {id} is already recorded: every event needs an id of its own")]
    DuplicateEvent {
        /// The id.
        id: EventId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppendError {
    /// The kind of failure, as a label of metrics and an attribute of spans.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Invalid(_) => "invalid",
            Self::KeyReused { .. } => "key_reused",
            Self::KeysKnown { .. } => "keys_known",
            Self::DuplicateEvent { .. } => "duplicate_event",
            Self::Store(error) => error.kind(),
        }
    }
}

/// Everything that was not as an append expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(.violations))]
pub struct Conflict {
    /// At least one; all that were found.
    pub violations: Vec<Violation>,
}

/// One expectation of an append that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A stream is at another version.
    Version {
        /// The stream.
        stream: StreamId,
        /// The version that the append expected.
        expected: ExpectedVersion,
        /// The version it is at.
        actual: StreamVersion,
        /// For an exact expectation that is behind: the events after it, oldest first and gapless, at most
        /// [`CONFLICT_EVENTS`](crate::CONFLICT_EVENTS), so that deciding again needs no read. Empty otherwise.
        newer: Vec<RecordedEvent>,
    },
    /// An event that the condition excludes was recorded.
    Condition {
        /// The position of the last such event behind the condition's.
        position: Position,
    },
    /// A stream was archived: it takes no more events.
    Archived {
        /// The stream.
        stream: StreamId,
    },
    /// A stream was erased: its name is never used again.
    Erased {
        /// The stream.
        stream: StreamId,
    },
}

impl Conflict {
    /// Whether reading again and deciding anew can help: not if a stream is closed for good.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        self.violations.iter().all(|v| matches!(v, Violation::Version { .. } | Violation::Condition { .. }))
    }
}

/// Why an append cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAppend {
    /// There is nothing to append.
    #[error("an append needs at least one event: {0} has none")]
    Empty(String),
    /// A stream is named twice.
    #[error("stream {0} is named twice in one append: put its events into one list")]
    StreamTwice(StreamId),
    /// An event id is used twice.
    #[error("event id {0} stands twice in one append: every event needs an id of its own")]
    EventTwice(EventId),
    /// An idempotency key is used twice.
    #[error("idempotency key {0} stands twice in one append: give each request a key of its own")]
    KeyTwice(IdempotencyKey),
    /// A slice names events that the append doesn't have.
    #[error("the slice of idempotency key {0} names a stream or events that the append does not have")]
    SliceOutside(IdempotencyKey),
    /// A payload is too large.
    #[error(
        "the payload of a {event_type} event has {size} bytes, the limit is {limit}: store large content elsewhere and refer to it"
    )]
    PayloadTooLarge {
        /// The event's type.
        event_type: String,
        /// The size of its payload in bytes.
        size: usize,
        /// [`MAX_PAYLOAD`](crate::MAX_PAYLOAD).
        limit: usize,
    },
    /// There are too many events.
    #[error("an append of {count} events is larger than the {limit} allowed: split it")]
    TooManyEvents {
        /// How many.
        count: usize,
        /// [`MAX_EVENTS`](crate::MAX_EVENTS).
        limit: usize,
    },
    /// An event has a schema version of zero.
    #[error("schema version of a {0} event is 0: versions start at 1")]
    SchemaVersionZero(String),
    /// A name in the request is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

fn describe(violations: &[Violation]) -> String {
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version { stream, expected, actual, .. } => {
                write!(f, "stream {stream} was expected to ")?;
                match expected {
                    ExpectedVersion::Any => write!(f, "be there or not")?,
                    ExpectedVersion::NoStream => write!(f, "have no events")?,
                    ExpectedVersion::StreamExists => write!(f, "have events")?,
                    ExpectedVersion::Exact(version) => write!(f, "be at version {version}")?,
                }
                write!(f, ", but is at version {actual}")
            }
            Self::Condition { position } => {
                write!(f, "an event that the append condition excludes was recorded at position {position}")
            }
            Self::Archived { stream } => write!(f, "stream {stream} is archived and takes no more events"),
            Self::Erased { stream } => write!(f, "stream {stream} was erased and its name is not used again"),
        }
    }
}

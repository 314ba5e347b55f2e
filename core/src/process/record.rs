//! The events that the runtime records in the stream of an instance, beside the facts of the process.
//!
//! All are JSON, with schema version 1. Their types begin with `recount.`, so no fact can have one of them.

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Aggregate, Command, DecodeError, EncodeError, EventData, EventId, EventType, Position, Timestamp, codec};

/// The types of the runtime's events.
pub(crate) mod types {
    pub(crate) const STEP: &str = "recount.step";
    pub(crate) const REFUSED: &str = "recount.request_refused";
    pub(crate) const WITHDRAWN: &str = "recount.request_withdrawn";
    pub(crate) const HELD: &str = "recount.input_held";
    pub(crate) const PARKED: &str = "recount.parked";
    pub(crate) const REDRIVE: &str = "recount.redrive_ordered";
    pub(crate) const RESUMED: &str = "recount.resumed";
    pub(crate) const RESOLVED: &str = "recount.request_resolved";
    pub(crate) const COMPENSATED: &str = "recount.compensated";
}

/// A command to be sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CommandRecord {
    pub(crate) aggregate: String,
    pub(crate) name: String,
    /// The command's JSON as it was encoded first. It is sent as it is, never encoded anew: the idempotency key covers it.
    pub(crate) json: Box<RawValue>,
}

/// A command to be sent, and the command that undoes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    pub(crate) command: CommandRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) undo: Option<CommandRecord>,
}

/// Identifies a request within its instance: the stream version of the step, and the index among the step's requests.
/// Undos of a step without a command of their own are counted behind its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The version of the step's event in the stream of the instance.
    pub step: u64,
    /// The index of the request in the step.
    pub index: u32,
}

/// The form in which commands take it: `STEP/INDEX`.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.step, self.index)
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let parsed = text
            .split_once('/')
            .and_then(|(step, index)| Some(Self { step: step.parse().ok()?, index: index.parse().ok()? }));
        parsed.ok_or_else(|| InvalidRequestId { text: text.chars().take(64).collect() })
    }
}

/// The text is no id of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no request: write STEP/INDEX, such as 3/0")]
pub struct InvalidRequestId {
    text: String,
}

/// The trigger of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Why {
    /// An input.
    Input { position: Position, event: EventId, event_type: String },
    /// An input that was held until the instance started.
    Held { position: Position, event: EventId, event_type: String },
    /// A timer that was due.
    Timer { timer: String, generation: u64, due: Timestamp },
    /// The refusal of a request.
    Refusal { position: Position, request: RequestId },
}

/// A timer that is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimerRecord {
    pub(crate) timer: String,
    /// Tells this setting of the timer from all others: the stream version of the step that set it.
    pub(crate) generation: u64,
    pub(crate) due: Timestamp,
}

/// How an instance goes on after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Next {
    #[default]
    Run,
    Compensate,
    End,
}

/// A step: the decision about an input, a timer or a refusal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    pub(crate) why: Why,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requests: Vec<RequestRecord>,
    /// Commands that are sent only if the instance is compensated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) undos: Vec<CommandRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) timers: Vec<TimerRecord>,
    /// Timers that are no longer pending: cancelled, moved, or ended with the instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) cancelled: Vec<TimerRecord>,
    #[serde(default, skip_serializing_if = "is_run")]
    pub(crate) next: Next,
    /// The commands that the step asked for while the instance was being compensated. They are not sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dropped: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_run(next: &Next) -> bool {
    *next == Next::Run
}

/// A request that its aggregate refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RefusedRecord {
    pub(crate) request: RequestId,
    /// The number of the attempt to undo the request; none if the request itself was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) undo: Option<u32>,
    pub(crate) kind: String,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<serde_json::Value>,
}

/// A request that was withdrawn before it took effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WithdrawnRecord {
    pub(crate) request: RequestId,
}

/// An input for an instance that is not started yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HeldRecord {
    pub(crate) position: Position,
}

/// An instance that can't go on until an operator redrives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ParkedRecord {
    /// The input or step that failed.
    pub(crate) position: Position,
    pub(crate) error: String,
}

/// An operator's order to try again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RedriveRecord {
    pub(crate) by: String,
}

/// A parked instance goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ResumedRecord {}

/// An operator's word that a request needs no undo any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ResolvedRecord {
    pub(crate) request: RequestId,
    pub(crate) by: String,
    pub(crate) note: String,
}

/// Everything that took effect is undone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CompensatedRecord {}

/// One of the runtime's events.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Step(StepRecord),
    Refused(RefusedRecord),
    Withdrawn(WithdrawnRecord),
    Held(HeldRecord),
    Parked(ParkedRecord),
    Redrive(RedriveRecord),
    Resumed(ResumedRecord),
    Resolved(ResolvedRecord),
    Compensated(CompensatedRecord),
}

impl Record {
    pub(crate) fn encode(&self) -> Result<EventData, EncodeError> {
        fn event<T: Serialize>(name: &'static str, record: &T) -> Result<EventData, EncodeError> {
            Ok(EventData::new(EventType::from_static(name), codec::to_json_unchecked(name, record)?))
        }
        match self {
            Self::Step(record) => event(types::STEP, record),
            Self::Refused(record) => event(types::REFUSED, record),
            Self::Withdrawn(record) => event(types::WITHDRAWN, record),
            Self::Held(record) => event(types::HELD, record),
            Self::Parked(record) => event(types::PARKED, record),
            Self::Redrive(record) => event(types::REDRIVE, record),
            Self::Resumed(record) => event(types::RESUMED, record),
            Self::Resolved(record) => event(types::RESOLVED, record),
            Self::Compensated(record) => event(types::COMPENSATED, record),
        }
    }

    /// Reads one of the runtime's events.
    pub(crate) fn decode(event_type: &str, schema_version: u32, payload: &[u8]) -> Result<Self, DecodeError> {
        if schema_version != 1 {
            return Err(DecodeError::unknown_version(event_type, schema_version, 1));
        }
        fn read<T: DeserializeOwned>(event_type: &str, payload: &[u8]) -> Result<T, DecodeError> {
            codec::from_json(event_type, 1, payload)
        }
        Ok(match event_type {
            types::STEP => Self::Step(read(event_type, payload)?),
            types::REFUSED => Self::Refused(read(event_type, payload)?),
            types::WITHDRAWN => Self::Withdrawn(read(event_type, payload)?),
            types::HELD => Self::Held(read(event_type, payload)?),
            types::PARKED => Self::Parked(read(event_type, payload)?),
            types::REDRIVE => Self::Redrive(read(event_type, payload)?),
            types::RESUMED => Self::Resumed(read(event_type, payload)?),
            types::RESOLVED => Self::Resolved(read(event_type, payload)?),
            types::COMPENSATED => Self::Compensated(read(event_type, payload)?),
            _ => return Err(DecodeError::unknown_type(event_type)),
        })
    }
}

/// The names, as `aggregate.command`.
impl fmt::Display for CommandRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.aggregate, self.name)
    }
}

impl CommandRecord {
    pub(crate) fn of<C: Command>(command: &C) -> Result<Self, serde_json::Error> {
        let json = serde_json::from_slice(&command.to_json()?)?;
        Ok(Self { aggregate: C::Aggregate::NAME.to_owned(), name: C::NAME.to_owned(), json })
    }

    pub(crate) fn is<C: Command>(&self) -> bool {
        self.aggregate == C::Aggregate::NAME && self.name == C::NAME
    }
}

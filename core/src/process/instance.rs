//! An instance as an aggregate: its stream, folded into the process's state and the ledger.
//!
//! Steps are decided as commands are: on the newest state, one after the other, again after a conflict.

use smol_str::SmolStr;

use super::Process;
use super::ledger::Ledger;
use super::record::Record;
use crate::store::RESERVED;
use crate::{
    Aggregate, Apply, CommandRoute, DecodeError, EncodeError, Event, EventData, EventVariant, ProcessDefinition,
};

/// An instance of a process.
#[derive(Clone)]
pub(crate) struct Instance<P> {
    pub(crate) state: P,
    pub(crate) ledger: Ledger,
}

impl<P: Default> Default for Instance<P> {
    fn default() -> Self {
        Self { state: P::default(), ledger: Ledger::default() }
    }
}

/// An event in the stream of an instance.
pub(crate) enum InstanceEvent<P: ProcessDefinition> {
    Fact(P::Fact),
    Record(Record),
}

/// Why an input or a timer leads to no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoStep {
    #[error("it was handled before")]
    Duplicate,
    #[error("the instance has ended")]
    Late,
    #[error("the instance was not started")]
    Unknown,
    #[error("the process ignores it")]
    Ignored,
    #[error("the process does not expect it in this state")]
    Unexpected,
    /// The timer was moved or cancelled.
    #[error("the timer is not set any more")]
    Stale,
    /// The instance is parked. The input is handled when it is redriven.
    #[error("the instance is parked")]
    Queued,
    /// The process failed, and the instance must be parked.
    #[error("{0}")]
    Failed(String),
}

impl<P: Process> Aggregate for Instance<P> {
    type Id = SmolStr;
    type Event = InstanceEvent<P>;
    type Error = NoStep;

    const NAME: &'static str = P::NAME;

    fn commands() -> Vec<CommandRoute<Self>> {
        Vec::new()
    }
}

impl<P: Process> Apply for Instance<P> {
    fn apply(&mut self, event: &InstanceEvent<P>) {
        match event {
            InstanceEvent::Fact(fact) => {
                self.ledger.fact();
                self.state.apply(fact);
            }
            InstanceEvent::Record(record) => self.ledger.apply(record),
        }
    }
}

impl<P: Process> Event for InstanceEvent<P> {
    /// The facts: the names of the runtime's events belong to no type of the program.
    fn variants() -> Vec<EventVariant> {
        P::Fact::variants()
    }

    fn encode(&self) -> Result<EventData, EncodeError> {
        match self {
            Self::Fact(fact) => fact.encode(),
            Self::Record(record) => record.encode(),
        }
    }

    fn decode(event_type: &str, schema_version: u32, payload: &[u8]) -> Result<Self, DecodeError> {
        if event_type.starts_with(RESERVED) {
            Record::decode(event_type, schema_version, payload).map(Self::Record)
        } else {
            P::Fact::decode(event_type, schema_version, payload).map(Self::Fact)
        }
    }
}

//! The stored forms of requests.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Aggregate, Command};

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

impl CommandRecord {
    pub(crate) fn of<C: Command>(command: &C) -> Result<Self, serde_json::Error> {
        let json = serde_json::from_slice(&command.to_json()?)?;
        Ok(Self { aggregate: C::Aggregate::NAME.to_owned(), name: C::NAME.to_owned(), json })
    }

    pub(crate) fn is<C: Command>(&self) -> bool {
        self.aggregate == C::Aggregate::NAME && self.name == C::NAME
    }
}

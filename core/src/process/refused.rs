//! Refused commands, as a process sees them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::CommandRecord;
use crate::{Aggregate, Command, Refusal};

/// A command of a process that its aggregate refused.
#[derive(Clone, Debug)]
pub struct RefusedCommand {
    pub(super) command: CommandRecord,
    pub(super) refusal: Refusal,
}

impl RefusedCommand {
    /// Whether it is a command of this type.
    #[must_use]
    pub fn is<C: Command>(&self) -> bool {
        self.command.is::<C>()
    }

    /// The command's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.command.name
    }

    /// The command, if it is of this type.
    #[must_use]
    pub fn command<C: Command>(&self) -> Option<C> {
        self.is::<C>().then(|| C::from_json(self.command.json.get().as_bytes()).ok())?
    }

    /// The refusal as data.
    #[must_use]
    pub const fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// The error of the aggregate, if the command is of this type. `None` also for a refusal that is not the domain's, such as
    /// one by an aggregate that exists already.
    #[must_use]
    pub fn of<C: Command>(&self) -> Option<<C::Aggregate as Aggregate>::Error>
    where
        <C::Aggregate as Aggregate>::Error: Serialize + DeserializeOwned,
    {
        if !self.is::<C>() {
            return None;
        }
        serde_json::from_value(self.refusal.json.clone().unwrap_or_default()).ok()
    }
}

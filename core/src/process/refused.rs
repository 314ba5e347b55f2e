//! Refused commands, as a process sees them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::CommandRecord;
use crate::{Aggregate, Apply, BoxError, Command, DispatchError, Refusal, StreamVersion};

/// A command of a process that its aggregate refused.
#[derive(Clone, Debug)]
pub struct RefusedCommand {
    pub(super) command: CommandRecord,
    pub(super) refusal: Refusal,
}

impl RefusedCommand {
    /// A command that its aggregate refused with this error, as a process sees it: the error is kept as data. For tests.
    ///
    /// # Errors
    /// The command has no stored form.
    #[doc(hidden)]
    pub fn by_domain<A: Apply, C: Command<Aggregate = A>>(command: &C, error: A::Error) -> Result<Self, BoxError> {
        let Refusal { kind, message, json, .. } = crate::dispatch::refusal::<A>(error);
        Ok(Self { command: CommandRecord::of(command)?, refusal: Refusal::kept(kind, message, json) })
    }

    /// A command that was refused since its aggregate exists already. For tests.
    ///
    /// # Errors
    /// The command has no stored form, or its id names no stream.
    #[doc(hidden)]
    pub fn already_exists<C: Command>(command: &C) -> Result<Self, BoxError> {
        let stream = C::Aggregate::stream(command.aggregate_id())?;
        let error = DispatchError::<Refusal>::AlreadyExists { stream, version: StreamVersion::new(1) };
        let refusal = Refusal::kept("AlreadyExists".to_owned(), error.to_string(), None);
        Ok(Self { command: CommandRecord::of(command)?, refusal })
    }

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
        match self.refusal.json.clone() {
            Some(json) => serde_json::from_value(json).ok(),
            // A unit struct has no JSON, as a refusal that is not the domain's. The kind tells them apart.
            None => serde_json::from_value(serde_json::Value::Null)
                .ok()
                .filter(|error| Refusal::describe(error, None).kind == self.refusal.kind),
        }
    }
}

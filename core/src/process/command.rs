//! The commands of a process by name, as its requests are stored.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::record::CommandRecord;
use crate::dispatch::{Engine, Request};
use crate::{Apply, Command, DispatchError, HandleWith, Refusal};

type Sending = Pin<Box<dyn Future<Output = Result<(), DispatchError<Refusal>>> + Send>>;

/// A command that a process may send: how to reach it by the names that are stored.
#[derive(Clone, Copy)]
pub struct ProcessCommand {
    /// The name of the aggregate.
    pub aggregate: &'static str,
    /// The name of the command among those of its aggregate.
    pub command: &'static str,
    send: fn(Arc<Engine>, &CommandRecord, Request) -> Sending,
}

impl ProcessCommand {
    /// The command `C`.
    #[must_use]
    pub fn of<A, C>() -> Self
    where
        A: Apply + HandleWith<C>,
        C: Command<Aggregate = A>,
    {
        Self { aggregate: A::NAME, command: C::NAME, send: send::<A, C> }
    }

    /// Whether it is the stored command.
    pub(super) fn is(&self, record: &CommandRecord) -> bool {
        self.aggregate == record.aggregate && self.command == record.name
    }

    /// Dispatches a stored command.
    pub(super) fn send(&self, engine: &Arc<Engine>, record: &CommandRecord, request: Request) -> Sending {
        (self.send)(Arc::clone(engine), record, request)
    }
}

fn send<A, C>(engine: Arc<Engine>, record: &CommandRecord, request: Request) -> Sending
where
    A: Apply + HandleWith<C>,
    C: Command<Aggregate = A>,
{
    let command = C::from_json(record.json.get().as_bytes());
    Box::pin(async move {
        let command = command.map_err(|source| DispatchError::Malformed { command: C::NAME.to_owned(), source })?;
        let outcome = engine.run::<A, ()>(&command, &request, |_| ()).await;
        outcome.map(drop).map_err(|error| error.map_rejection(crate::dispatch::refusal::<A>))
    })
}

impl fmt::Debug for ProcessCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessCommand").field("aggregate", &self.aggregate).field("command", &self.command).finish()
    }
}

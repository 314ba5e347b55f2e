//! The commands of a reaction, their types forgotten.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::dispatch::{Dispatch, Engine};
use crate::{Apply, BoxError, Command, DispatchError, HandleWith, IdempotencyKey, Metadata, NameError, TransientError};

type Dispatching<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;
type DispatchFn = dyn Fn(&Arc<Engine>, Metadata, IdempotencyKey, Accepted) -> Dispatching<'static> + Send + Sync;

/// Commands that follow from an event, sent one after the other. A command that was
/// [withdrawn](crate::Recount::withdraw) by its key counts as sent.
///
/// ```
/// # use recount_core::{Apply, Command, Commands, HandleWith, IdempotencyKey};
/// # fn f<A: Apply + HandleWith<C>, C: Command<Aggregate = A>>(ship: C, bill: C) -> Result<Commands, recount_core::NameError> {
/// Ok(Commands::send(ship).idempotency_key(IdempotencyKey::new("ship/17")?).and(bill).refusal_is_done())
/// # }
/// ```
#[derive(Default)]
#[must_use = "nothing is sent unless a reaction returns this"]
pub struct Commands {
    commands: Vec<Pending>,
}

/// One command.
struct Pending {
    dispatch: Box<DispatchFn>,
    key: Option<IdempotencyKey>,
    accepted: Accepted,
}

/// The outcomes of a command, other than success, that count as done.
#[derive(Clone, Copy, Default)]
struct Accepted {
    existing: bool,
    refusal: bool,
}

impl Commands {
    /// No command.
    pub fn none() -> Self {
        Self::default()
    }

    /// One command.
    pub fn send<A, C>(command: C) -> Self
    where
        A: Apply + HandleWith<C>,
        C: Command<Aggregate = A>,
    {
        Self::none().and(command)
    }

    /// This command too. It is sent after those before it have succeeded.
    pub fn and<A, C>(mut self, command: C) -> Self
    where
        A: Apply + HandleWith<C>,
        C: Command<Aggregate = A>,
    {
        let dispatch: Box<DispatchFn> = Box::new(move |engine, metadata, key, accepted| {
            let (engine, command) = (Arc::clone(engine), command.clone());
            Box::pin(async move {
                let outcome = Dispatch::new(&engine, command).metadata(metadata).idempotency_key(key).await;
                match outcome {
                    Ok(_) => Ok(()),
                    Err(DispatchError::Withdrawn { key }) => {
                        tracing::info!(%key, "the command was withdrawn, so it is not sent");
                        Ok(())
                    }
                    Err(DispatchError::AlreadyExists { .. }) if accepted.existing => Ok(()),
                    Err(DispatchError::Rejected(_) | DispatchError::RefusedEarlier { .. }) if accepted.refusal => {
                        Ok(())
                    }
                    Err(error) if error.is_transient() => Err(TransientError::new(error).into()),
                    Err(error) => Err(error.into()),
                }
            })
        });
        self.commands.push(Pending { dispatch, key: None, accepted: Accepted::default() });
        self
    }

    /// The idempotency key of the last command, instead of the one made from reaction, event and number.
    pub fn idempotency_key(mut self, key: IdempotencyKey) -> Self {
        if let Some(last) = self.commands.last_mut() {
            last.key = Some(key);
        }
        self
    }

    /// An aggregate that exists already counts as success of the last command, which creates it. Otherwise it is a
    /// failure: the reaction stops when the event's retry budget is used up.
    pub fn existing_is_done(mut self) -> Self {
        if let Some(last) = self.commands.last_mut() {
            last.accepted.existing = true;
        }
        self
    }

    /// Sends them, one after the other. `key` makes the idempotency key of a command from its index.
    pub(crate) async fn dispatch(
        &self,
        engine: &Arc<Engine>,
        metadata: &Metadata,
        key: impl Fn(usize) -> Result<IdempotencyKey, NameError>,
    ) -> Result<(), BoxError> {
        for (index, pending) in self.commands.iter().enumerate() {
            let key = match &pending.key {
                Some(key) => key.clone(),
                None => key(index)?,
            };
            pending.dispatch(engine, metadata.clone(), key).await?;
        }
        Ok(())
    }

    /// A refusal by the domain counts as success of the last command. Otherwise it is a failure: the reaction stops when
    /// the event's retry budget is used up.
    pub fn refusal_is_done(mut self) -> Self {
        if let Some(last) = self.commands.last_mut() {
            last.accepted.refusal = true;
        }
        self
    }
}

impl Pending {
    fn dispatch(&self, engine: &Arc<Engine>, metadata: Metadata, key: IdempotencyKey) -> Dispatching<'static> {
        (self.dispatch)(engine, metadata, key, self.accepted)
    }
}

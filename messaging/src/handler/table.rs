//! The handlers of a subscriber, by the type of message.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use recount_core::{BoxError, Event, Recount};

use super::failure::PermanentError;
use super::{Incoming, MessageHandler, commands};

/// A message that is being handled.
pub(crate) type Handling<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;
type Call = dyn for<'a> Fn(&'a Recount, &'a Incoming<'a>) -> Handling<'a> + Send + Sync;

/// The treatment of messages that no handler takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownType {
    /// They are acknowledged: a service reads the messages that it knows.
    #[default]
    Ignore,
    /// They become dead letters.
    DeadLetter,
}

/// Two handlers of one subscriber take the same type of message.
#[derive(Debug, thiserror::Error)]
#[error(
    "two handlers take messages of type {message_type}: a subscriber has one for each type; use another group for the other"
)]
pub struct HandledTwice {
    message_type: String,
}

/// The handlers of a subscriber.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    by_type: HashMap<String, Arc<Call>>,
    /// Whether the commands of registered aggregates are taken.
    commands: bool,
    unknown: UnknownType,
}

impl Handlers {
    pub(crate) fn add<H: MessageHandler>(&mut self, handler: H) -> Result<(), HandledTwice> {
        let handler = Arc::new(handler);
        let call: Arc<Call> = Arc::new(move |recount, incoming| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let message = incoming.message;
                let event = H::Message::decode(&message.message_type, message.schema_version, &message.data)?;
                let metadata = incoming.metadata();
                let commands = metadata.clone().scope(handler.handle(&event, incoming)).await?;
                recount.dispatch_commands(&commands, &metadata, |index| incoming.key(index)).await
            })
        });
        for variant in H::Message::variants() {
            for name in [variant.event_type].iter().chain(variant.aliases) {
                if self.by_type.insert((*name).to_owned(), Arc::clone(&call)).is_some() {
                    return Err(HandledTwice { message_type: (*name).to_owned() });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn take_commands(&mut self) {
        self.commands = true;
    }

    pub(crate) fn on_unknown(&mut self, policy: UnknownType) {
        self.unknown = policy;
    }

    /// The types that are taken.
    pub(crate) fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = self.by_type.keys().cloned().collect();
        types.sort_unstable();
        types
    }

    /// Handles a message.
    pub(crate) async fn handle(&self, recount: &Recount, incoming: &Incoming<'_>) -> Result<(), BoxError> {
        let message_type = &*incoming.message.message_type;
        match self.by_type.get(message_type) {
            Some(call) => call(recount, incoming).await,
            None if self.commands && is_command(recount, message_type) => commands::handle(recount, incoming).await,
            None if self.unknown == UnknownType::Ignore => Ok(()),
            None => {
                let types = self.types().join(", ");
                let error = format!("no handler takes messages of type {message_type}; known are: {types}");
                Err(PermanentError::new(error).into())
            }
        }
    }
}

fn is_command(recount: &Recount, message_type: &str) -> bool {
    recount.commands().any(|(aggregate, command, _)| {
        message_type.strip_prefix(aggregate).and_then(|rest| rest.strip_prefix('.')) == Some(command)
    })
}

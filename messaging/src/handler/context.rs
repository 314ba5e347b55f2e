//! The circumstances of a message that is being handled.

use recount_core::{IdempotencyKey, Metadata, NameError};

use crate::Message;
use crate::digest::hex_digest;
use crate::route::Exit;

/// The longest identity of a message within an idempotency key, which has 512 bytes.
const MAX_IDENTITY: usize = 320;

/// A message that is being handled.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Incoming<'m> {
    /// The message.
    pub message: &'m Message,
    /// The group that handles it.
    pub consumer: &'m str,
    /// The number of this attempt, from 1. It counts the failures of this delivery, or those since the message was set aside
    /// and before. An attempt that met an outage does not count.
    pub attempt: u32,
    /// The way to the broker, for a message that follows from this one.
    pub(crate) exit: &'m Exit,
}

impl<'m> Incoming<'m> {
    pub(crate) fn new(message: &'m Message, consumer: &'m str, attempt: u32, exit: &'m Exit) -> Self {
        Self { message, consumer, attempt, exit }
    }

    /// The idempotency key of an effect of this message, the same for each attempt. Effects of one message differ by their
    /// number. It is made from the message's own idempotency key, or its id, and its source.
    ///
    /// # Errors
    /// [`NameError`] if the group's name is too long.
    pub fn key(&self, effect: usize) -> Result<IdempotencyKey, NameError> {
        let Self { message, consumer, .. } = self;
        let id = message.idempotency_key.as_deref().unwrap_or(message.id.as_str());
        let mut identity = format!("{id}@{}", message.source);
        if identity.len() > MAX_IDENTITY {
            identity = hex_digest(&[&message.source, id]);
        }
        IdempotencyKey::new(format!("inbox/{consumer}/{identity}/{effect}"))
    }

    /// The metadata of the message's effects: the same conversation, actor and trace, with the message as the cause.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        following(self.message)
    }
}

/// The metadata of effects of a message.
pub(crate) fn following(Message { id, metadata, .. }: &Message) -> Metadata {
    let id: std::sync::Arc<str> = id.as_str().into();
    Metadata {
        correlation_id: metadata.correlation_id.clone().or_else(|| Some(id.clone())),
        causation_id: Some(id),
        actor: metadata.actor.clone(),
        traceparent: metadata.traceparent.clone(),
        headers: std::collections::BTreeMap::new(),
    }
}

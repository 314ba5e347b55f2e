//! The request and the response of layers.

use std::sync::Arc;

use bytes::Bytes;

use crate::request::Answer;
use crate::route::Exit;
use crate::{Incoming, Message};

/// A message to handle, as layers see it.
#[derive(Clone, Debug)]
pub struct HandlerRequest {
    message: Arc<Message>,
    consumer: Arc<str>,
    attempt: u32,
    exit: Arc<Exit>,
}

impl HandlerRequest {
    pub(crate) fn new(message: Message, consumer: Arc<str>, attempt: u32, exit: Arc<Exit>) -> Self {
        Self { message: Arc::new(message), consumer, attempt, exit }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Arc<Message> {
        &self.message
    }

    /// The consumer that handles it: `GROUP/TOPIC`.
    #[must_use]
    pub fn consumer(&self) -> &str {
        &self.consumer
    }

    /// The number of this attempt, from 1. See [`Incoming::attempt`].
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Replaces the data of the message, for layers that decrypt or decompress it. The message keeps its identity. A dead letter
    /// has the data that the broker delivered.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Bytes>) -> Self {
        Arc::make_mut(&mut self.message).data = data.into();
        self
    }

    pub(super) fn incoming(&self) -> Incoming<'_> {
        Incoming::new(&self.message, &self.consumer, self.attempt, &self.exit)
    }
}

/// A message was handled, and is acknowledged. `Handled::default()` is the response of a layer that drops a message without
/// calling its handler; the sender of a request then gets no reply.
#[derive(Clone, Debug, Default)]
pub struct Handled {
    pub(crate) answer: Option<Answer>,
}

//! Requests and replies that a broker carries itself: an optional part of the contract.

use std::time::Duration;

use async_trait::async_trait;

use super::{BrokerError, Refusal, Topic};
use crate::{Malformed, Message};

/// Requests and replies that a broker carries itself, without a stored topic. Nothing is delivered twice, and nothing is
/// kept for a responder that is away: a lost request or reply ends in the requester's time-out.
///
/// Each call ends within a time of the adapter's own.
#[async_trait]
pub trait NativeRequests: Send + Sync {
    /// Opens an inbox with an address of its own, to which messages are sent.
    ///
    /// # Errors
    /// [`BrokerError`] if the broker can't be reached or refuses.
    async fn inbox(&self) -> Result<Box<dyn RequestInbox>, BrokerError>;

    /// Takes the requests of a topic. All inboxes that serve a topic share its requests: each request goes to one of them.
    /// The topic needs no [`ensure`](super::Broker::ensure).
    ///
    /// # Errors
    /// [`BrokerError`] if the broker can't be reached or refuses.
    async fn serve(&self, topic: &Topic) -> Result<Box<dyn RequestInbox>, BrokerError>;

    /// Sends a request to one of the inboxes that serve the topic. The message has the address of the requester's inbox in
    /// [`reply_to`](Message::reply_to), and an [`idempotency_key`](Message::idempotency_key) of ASCII letters, digits and `-`
    /// that no other request has. The broker may drop the request after this time.
    ///
    /// # Errors
    /// [`Undelivered`]. A broker that learns later that no inbox serves the topic reports it to the requester's inbox as
    /// [`InboxSignal::NoResponders`].
    async fn request(&self, topic: &Topic, message: Message, within: Duration) -> Result<(), Undelivered>;

    /// Sends a message to an address: the [`reply_to`](Message::reply_to) of a message that came. An address that is not
    /// one of an inbox is refused, so that a hostile request can't direct a reply elsewhere.
    ///
    /// # Errors
    /// [`Undelivered`]. A message to an inbox that is gone may be dropped without an error.
    async fn send(&self, address: &str, message: Message) -> Result<(), Undelivered>;
}

/// An inbox. One task owns it. Dropping it closes it.
#[async_trait]
pub trait RequestInbox: Send {
    /// The address for messages to this inbox: the same after a reconnect.
    fn address(&self) -> &str;

    /// Waits for a message.
    ///
    /// # Errors
    /// [`BrokerError`] if the connection is lost; messages may be lost with it. The next call reconnects.
    ///
    /// # Cancel safety
    /// Cancel-safe: a dropped call loses no message.
    async fn next(&mut self) -> Result<InboxSignal, BrokerError>;

    /// Closes the inbox. When it returns the broker sends no more messages here, unless it can't be reached. Returns the messages
    /// that had come and were not taken, unless the broker gives them to another inbox. An inbox that is dropped is closed a
    /// moment later, and they are lost.
    async fn close(self: Box<Self>) -> Vec<Message> {
        Vec::new()
    }
}

/// News of an inbox.
#[derive(Debug)]
#[non_exhaustive]
pub enum InboxSignal {
    /// A message.
    Message(Box<Message>),
    /// A message with an envelope that can't be read.
    Malformed(Malformed),
    /// No inbox serves the topic of a request of this inbox.
    NoResponders {
        /// The request's idempotency key.
        request: String,
    },
}

impl From<Result<Message, Malformed>> for InboxSignal {
    fn from(read: Result<Message, Malformed>) -> Self {
        read.map_or_else(Self::Malformed, |message| Self::Message(Box::new(message)))
    }
}

/// Why a request or reply was not delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Undelivered {
    /// No inbox takes it.
    #[error("no inbox takes the message")]
    NoReceiver,
    /// The broker never takes it as it is.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The broker can't be reached, or has not confirmed it.
    #[error(transparent)]
    Failed(#[from] BrokerError),
}

impl Undelivered {
    /// The refusal of a message to an address that is not one of an inbox, for adapters.
    #[must_use]
    pub fn not_an_inbox(message: &Message, address: &str) -> Self {
        let shown: String = address.chars().take(64).collect();
        let reason = format!("the address {shown:?} is not one of an inbox");
        Refusal::Invalid { id: message.id.to_string(), reason }.into()
    }
}

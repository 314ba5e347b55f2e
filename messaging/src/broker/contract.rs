//! The trait of brokers.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Binding, BrokerConsumer, BrokerError, Capabilities, Fate, NativeRequests, Outgoing, Plan, Topic, TopicPattern,
};

/// A connection to a message broker.
///
/// All methods may be called at once from any task. Each ends within a time of the adapter's own, even if the server is
/// frozen or the network swallows its answers. The adapter reconnects by itself, in the background of calls.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// The broker's kind as telemetry names it (`messaging.system`): `nats`, `rabbitmq`, `kafka`, `in_process`.
    fn system(&self) -> &'static str;

    /// The abilities of the broker for a binding. Known since it was connected, and the same until it is closed.
    fn capabilities(&self, binding: &Binding) -> Capabilities;

    /// Declares the objects that are missing at the broker, and compares the others. Idempotent. With `dry_run` nothing
    /// is declared. Returns the changes that were made, or would be.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`] if something exists with other settings; nothing of it was changed.
    /// [`BrokerError::Invalid`] if a time of the plan is [out of its bounds](Binding::check); nothing was declared.
    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError>;

    /// Publishes messages and returns the fate of each, in the same order: as many fates as messages.
    ///
    /// Messages of one key are stored in the order of the batch, each after the one before it; behind one that is not
    /// stored, the rest of its key is [`NotSent`](Fate::NotSent) as far as the adapter can tell. The caller has at most
    /// one batch with a key under way. The topic must have been [ensured](Self::ensure).
    ///
    /// # Cancel safety
    /// After a dropped call the fate of each message is unknown.
    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate>;

    /// Starts to consume a binding. It must have been [ensured](Self::ensure).
    ///
    /// # Errors
    /// [`BrokerError`] if the broker can't be reached or refuses, or a time of the binding is
    /// [out of its bounds](Binding::check).
    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError>;

    /// The topics at the broker that match a pattern, with their lanes, sorted by name.
    ///
    /// # Errors
    /// [`BrokerError::Unsupported`] without [`Capabilities::lists_topics`]; [`BrokerError`] if the broker can't be reached or
    /// refuses.
    async fn topics(&self, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
        let _ = pattern;
        Err(BrokerError::Unsupported { system: self.system(), ability: "list its topics" })
    }

    /// Requests and replies that the broker carries itself, if [`Capabilities::request_reply`] is
    /// [native](super::RequestReply::Native). Else they go through topics.
    fn native_requests(&self) -> Option<&dyn NativeRequests> {
        None
    }

    /// Whether the broker answers, by a round trip.
    ///
    /// # Errors
    /// [`BrokerError`] names the failure.
    async fn health(&self) -> Result<(), BrokerError>;

    /// Waits for the publishes under way, at most this long, and disconnects. Later calls fail with
    /// [`BrokerError::Closed`]. Consumers that were not [drained](BrokerConsumer::drain) lose their connection. Idempotent.
    async fn close(&self, within: Duration);
}

/// A declaration at a broker that [`Broker::ensure`] made, or would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The declared object, in the broker's words: `stream recount-orders`, `queue orders.mail.3`.
    pub object: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "declare {}", self.object)
    }
}

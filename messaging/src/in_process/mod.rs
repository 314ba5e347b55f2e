//! The broker in this process: the default of services that are embedded in one program, and the playground of tests.
//!
//! [`InProcess`] keeps messages in memory. With a [`Profile`] it behaves like another broker, within the declared
//! [`Capabilities`] and beyond: lanes that move, leases that end, acknowledgements that a restart forgets. Its
//! [`Faults`] happen on order. Time comes from tokio's clock only and randomness from a seed, so a test with paused time is
//! deterministic and takes no time.
//!
//! # Limits
//!
//! A topic keeps at most 100,000 messages or 256 MiB ([`Settings`]). A message that a group has not settled is never
//! dropped: while a group has as much open, publishes are answered with [`NotSent`](Fate::NotSent). Settled messages are
//! dropped, except for the history of profiles with replay: an hour ([`Profile::Own`]) or seven days, the oldest first when
//! the limit is reached.

mod connection;
mod consumer;
mod faults;
mod group;
mod members;
mod policy;
mod profile;
mod publish;
mod returning;
mod server;
mod settling;
mod slot;
mod stored;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_core::Timestamp;
use tokio::time::timeout;

use self::connection::Connection;
use self::consumer::Consumer;
pub use self::faults::{Faults, PublishFault};
pub use self::profile::Profile;
use self::server::Server;
use crate::{Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, Outgoing, Plan, Topic};

const SYSTEM: &str = "in_process";

/// The settings of an in-process broker.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The behaviour.
    pub profile: Profile,
    /// The most messages that a topic keeps.
    pub retained_messages: usize,
    /// The most bytes that a topic keeps.
    pub retained_bytes: usize,
    /// The seed of its randomness.
    pub seed: u64,
    /// The time of the wall clock when it starts. From then on tokio's clock counts.
    pub start: Timestamp,
}

impl Settings {
    /// The settings of a profile: 100,000 messages and 256 MiB a topic.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let (retained_messages, retained_bytes) = (100_000, 256 * 1024 * 1024);
        Self { profile, retained_messages, retained_bytes, seed: 0, start: Timestamp::now() }
    }

    /// Sets how much a topic keeps.
    #[must_use]
    pub fn retain(self, messages: usize, bytes: usize) -> Self {
        Self { retained_messages: messages, retained_bytes: bytes, ..self }
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets the time at which it starts.
    #[must_use]
    pub fn start(self, start: Timestamp) -> Self {
        Self { start, ..self }
    }
}

/// A connection to a broker in this process. Clones share the connection; [`connect`](Self::connect) makes another one.
///
/// ```
/// # use recount_messaging::*;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let broker = InProcess::new();
/// let binding = Binding::new(Topic::new("orders")?, Group::new("mail")?);
/// broker.ensure(&Plan { topics: vec![], bindings: vec![binding.clone()] }, false).await?;
///
/// let message = Message::new(MessageId::new("1")?, "shop", "orders.placed", "{}").with_key("order/17");
/// let fates = broker.publish(&binding.topic, vec![message.into()]).await;
/// assert!(fates[0].is_stored());
///
/// let mut consumer = broker.subscribe(&binding).await?;
/// if let Signal::Deliveries(deliveries) = consumer.next(&Room::of(10)).await? {
///     let marks = deliveries.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
///     assert!(consumer.settle(marks).await.iter().all(Settled::is_done));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct InProcess {
    connection: Arc<Connection>,
}

impl InProcess {
    /// A new broker with the behaviour of the embedded default.
    #[must_use]
    pub fn new() -> Self {
        Self::with_profile(Profile::Own)
    }

    /// A new broker with the behaviour of another one.
    #[must_use]
    pub fn with_profile(profile: Profile) -> Self {
        Self::with_settings(Settings::new(profile))
    }

    /// A new broker.
    #[must_use]
    pub fn with_settings(settings: Settings) -> Self {
        Self { connection: Arc::new(Connection::new(Arc::new(Server::new(settings)))) }
    }

    /// Another connection to the same broker, as another process would have.
    #[must_use]
    pub fn connect(&self) -> Self {
        Self { connection: Arc::new(Connection::new(Arc::clone(&self.connection.server))) }
    }

    /// The behaviour that it plays.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.connection.server.settings.profile
    }

    /// Faults to order.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults(Arc::clone(&self.connection.server))
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Broker for InProcess {
    fn system(&self) -> &'static str {
        SYSTEM
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        self.profile().capabilities(binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        self.connection.reach("ensure").await?;
        self.connection.ensure(plan, dry_run)
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        if self.connection.check_open().is_err() {
            return batch.iter().map(|_| Fate::NotSent(Some(BrokerError::Closed))).collect();
        }
        self.connection.server.publish(topic, batch).await
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        self.connection.reach("subscribe").await?;
        self.connection.server.lock().group(binding)?;
        let declared = self.capabilities(binding);
        Ok(Box::new(Consumer::new(Arc::clone(&self.connection), binding.clone(), declared)))
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.connection.reach("health").await
    }

    async fn close(&self, within: Duration) {
        // A publish is stored or refused at once; only a server that does not answer is waited for.
        let _ = timeout(within, self.connection.reach("close")).await;
        self.connection.close();
    }
}

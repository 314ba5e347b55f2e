//! The broker in this process: the default of services that are embedded in one program, and the playground of tests.
//!
//! [`InProcess`] keeps messages in memory, or in a store as well ([`InProcess::durable`]). With a [`Profile`] it behaves like another broker, within the declared
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
mod durable;
mod faults;
mod group;
mod members;
mod policy;
mod profile;
mod publish;
mod requests;
mod returning;
mod server;
mod settling;
mod slot;
mod stored;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_core::{StateStore, Timestamp};
use tokio::time::{Instant, timeout};

use self::connection::Connection;
use self::consumer::Consumer;
pub use self::faults::{Faults, PublishFault};
pub use self::profile::Profile;
use self::server::Server;
use crate::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, NativeRequests, Outgoing, Plan,
    RequestReply, Topic, TopicPattern,
};

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

    /// Opens the broker in a store, or a new one if the store has none, with the behaviour of the embedded default.
    ///
    /// As durable as the store: a message is in the store before its fate is [`Stored`](Fate::Stored), and a settlement
    /// before it is [`Confirmed`](crate::Settled::Confirmed). Topics, groups, delays, dead letters and the ids of published
    /// messages are kept too; how often a message was delivered is not
    /// ([`Volatile`](crate::AttemptCount::Volatile)). While the store fails, calls fail with
    /// [`BrokerError::Unavailable`], and the broker goes on by itself afterwards.
    ///
    /// One program at a time has the broker of a store open. A store has one; it may be the store of a service. When the last
    /// connection is [closed](Broker::close), the next program can open it; after a crash it waits for up to ten seconds.
    /// If a program was paused for longer and another one has taken over, all its calls fail from then on.
    ///
    /// A batch of publishes, and the settlements of one call, are one write to the store each; concurrent calls share a
    /// write.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] if another program has it open, or the store can't be read.
    ///
    /// # Cancel safety
    /// Cancel-safe; a dropped call may delay the next one by ten seconds.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use recount_messaging::*;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let store = Arc::new(recount_store_memory::MemoryStore::new()); // or SQLite, or Postgres
    /// let binding = Binding::new(Topic::new("orders")?, Group::new("mail")?);
    ///
    /// let broker = InProcess::durable(store.clone()).await?;
    /// broker.ensure(&Plan { topics: vec![], bindings: vec![binding.clone()] }, false).await?;
    /// let message = Message::new(MessageId::new("1")?, "shop", "orders.placed", "{}").with_key("order/17");
    /// assert!(broker.publish(&binding.topic, vec![message.into()]).await[0].is_stored());
    /// broker.close(Duration::from_secs(1)).await;
    ///
    /// // The next program.
    /// let broker = InProcess::durable(store).await?;
    /// let mut consumer = broker.subscribe(&binding).await?;
    /// assert!(matches!(consumer.next(&Room::of(10)).await?, Signal::Deliveries(deliveries) if deliveries.len() == 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn durable(store: Arc<dyn StateStore>) -> Result<Self, BrokerError> {
        Self::durable_with(store, Settings::new(Profile::Own)).await
    }

    /// As [`durable`](Self::durable), with settings. Their profile is [`Profile::Own`], and the time starts by the store's
    /// clock.
    ///
    /// # Errors
    /// As [`durable`](Self::durable), and [`BrokerError::Invalid`] with another profile.
    pub async fn durable_with(store: Arc<dyn StateStore>, settings: Settings) -> Result<Self, BrokerError> {
        let server = durable::open(store, settings).await?;
        Ok(Self { connection: Arc::new(Connection::new(server)) })
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
        self.connection.server.policy(binding).0
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        self.connection.reach("ensure").await?;
        let (changes, pending) = self.connection.ensure(plan, dry_run)?;
        pending.stored("ensure").await?;
        Ok(changes)
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        if self.connection.check_open().is_err() {
            return batch.iter().map(|_| Fate::NotSent(Some(BrokerError::Closed))).collect();
        }
        self.connection.server.publish(topic, batch).await
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        binding.check()?;
        self.connection.reach("subscribe").await?;
        self.connection.server.lock().group(binding)?;
        let declared = self.capabilities(binding);
        Ok(Box::new(Consumer::new(Arc::clone(&self.connection), binding.clone(), declared)))
    }

    async fn topics(&self, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
        if !self.profile().lists_topics() {
            return Err(BrokerError::Unsupported { system: SYSTEM, ability: "list its topics with this profile" });
        }
        self.connection.reach("listing topics").await?;
        let state = self.connection.server.lock();
        let topics = state.topics.values().map(|state| &state.topic);
        Ok(topics.filter(|topic| pattern.matches(topic)).cloned().collect())
    }

    fn native_requests(&self) -> Option<&dyn NativeRequests> {
        (requests::of_profile(self.profile()) != RequestReply::Emulated).then_some(self)
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.connection.reach("health").await?;
        let server = &self.connection.server;
        let pending = server.change(|state| server.reach_store(state));
        pending.stored("health").await
    }

    async fn close(&self, within: Duration) {
        let deadline = crate::deadline_after(within);
        // A publish is on its way to the store, or stored; only a server that does not answer is waited for.
        let _ = timeout(within, self.connection.reach("close")).await;
        if self.connection.close() {
            self.connection.server.release_store(deadline.saturating_duration_since(Instant::now())).await;
        }
    }
}

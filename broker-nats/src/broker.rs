//! The broker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, NativeRequests, Outgoing, Plan, Topic,
    TopicPattern,
};

use crate::connection::Connection;
use crate::consumer::NatsConsumer;
use crate::requests::NatsRequests;
use crate::{NatsOptions, capabilities, ensure, publish, topics};

/// A connection to NATS with JetStream. Clones share it.
#[derive(Clone, Debug)]
pub struct NatsBroker {
    connection: Arc<Connection>,
    requests: NatsRequests,
}

impl NatsBroker {
    /// Connects to the servers of a URL, `nats://USER:PASSWORD@HOST:PORT?NAME=VALUE`.
    ///
    /// `tls://` takes encrypted connections only. A login without `:` is a token. More servers of the cluster stand behind
    /// commas. Parameters: `replicas`, `duplicate_window`, `max_age` and `timeout` (in seconds), `tls=true`, and the PEM files
    /// `ca`, `cert` and `key`. [`NatsOptions`] explains them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the URL is none; else as [`NatsOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Self::options(url)?.connect().await
    }

    /// The options of a URL, to set more of them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the URL is none.
    pub fn options(url: &str) -> Result<NatsOptions, BrokerError> {
        NatsOptions::new(url)
    }

    pub(crate) async fn open(options: NatsOptions) -> Result<Self, BrokerError> {
        let connection = Arc::new(Connection::open(options).await?);
        Ok(Self { requests: NatsRequests(Arc::clone(&connection)), connection })
    }
}

#[async_trait]
impl Broker for NatsBroker {
    fn system(&self) -> &'static str {
        "nats"
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        capabilities::capabilities(&self.connection, binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        ensure::ensure(&self.connection, plan, dry_run).await
    }

    async fn topics(&self, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
        topics::topics(&self.connection, pattern).await
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        publish::publish(&self.connection, topic, batch).await
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        binding.check()?;
        Ok(Box::new(NatsConsumer::open(Arc::clone(&self.connection), binding).await?))
    }

    fn native_requests(&self) -> Option<&dyn NativeRequests> {
        Some(&self.requests)
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.connection.round_trip("checking the health").await
    }

    async fn close(&self, within: Duration) {
        self.connection.close(within).await;
    }
}

//! The broker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, Outgoing, Plan, Topic,
};

use crate::connection::Connection;
use crate::consumer::GoogleConsumer;
use crate::{GoogleOptions, capabilities, ensure, publish};

/// A connection to a project's Pub/Sub. Clones share it.
#[derive(Clone, Debug)]
pub struct GoogleBroker(Arc<Connection>);

impl GoogleBroker {
    /// Connects to the Pub/Sub of a project, `pubsub://PROJECT?NAME=VALUE`.
    ///
    /// Parameters: `credentials` (a file with the key of a service account), `endpoint` and `admin` (other places than those
    /// of Google), `retention` and `timeout` (in seconds), `outstanding`. [`GoogleOptions`] explains them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the address is none; else as [`GoogleOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Self::options(url)?.connect().await
    }

    /// The options of an address, to set more of them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the address is none.
    pub fn options(url: &str) -> Result<GoogleOptions, BrokerError> {
        GoogleOptions::new(url)
    }

    pub(crate) async fn open(options: GoogleOptions) -> Result<Self, BrokerError> {
        Ok(Self(Arc::new(Connection::open(options).await?)))
    }
}

#[async_trait]
impl Broker for GoogleBroker {
    fn system(&self) -> &'static str {
        crate::SYSTEM
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        capabilities::capabilities(binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        ensure::ensure(&self.0, plan, dry_run).await
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        publish::publish(&self.0, topic, batch).await
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        binding.check()?;
        Ok(Box::new(GoogleConsumer::open(Arc::clone(&self.0), binding).await?))
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.0.round_trip("checking the health").await
    }

    async fn close(&self, within: Duration) {
        self.0.close(within).await;
    }
}

//! The broker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, Outgoing, Plan, Topic,
};

use crate::connection::Connection;
use crate::consumer::AwsConsumer;
use crate::{AwsOptions, address, capabilities, ensure, publish};

pub(crate) const SYSTEM: &str = "aws_sqs";

/// A connection to SQS, and to SNS unless the publisher sends to each queue. Clones share it.
#[derive(Clone, Debug)]
pub struct AwsBroker {
    connection: Arc<Connection>,
}

impl AwsBroker {
    /// Connects to the region and account of an address, `sqs://ACCESS_KEY:SECRET@REGION/ACCOUNT?NAME=VALUE`.
    ///
    /// Without a login the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` count. A `/` in the
    /// secret is written as `%2F`. The account may be left out with an `endpoint` of another server, or with `fanout=sqs`.
    /// Parameters: `endpoint` and `sns_endpoint` (URLs), `fanout` (`sns` or `sqs`), `session_token`, `wait` and `timeout` (in
    /// seconds), and the PEM file `ca`. [`AwsOptions`] explains them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the address is none; else as [`AwsOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Self::options(url)?.connect().await
    }

    /// The options of an address, to set more of them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the address is none.
    pub fn options(url: &str) -> Result<AwsOptions, BrokerError> {
        address::read(url)
    }

    pub(crate) async fn open(options: AwsOptions) -> Result<Self, BrokerError> {
        Ok(Self { connection: Arc::new(Connection::open(options).await?) })
    }
}

#[async_trait]
impl Broker for AwsBroker {
    fn system(&self) -> &'static str {
        SYSTEM
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        capabilities::capabilities(&self.connection, binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        ensure::ensure(&self.connection, plan, dry_run).await
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        publish::publish(&self.connection, topic, batch).await
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        binding.check()?;
        Ok(Box::new(AwsConsumer::open(Arc::clone(&self.connection), binding).await?))
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.connection.health("checking the health").await
    }

    async fn close(&self, within: Duration) {
        self.connection.close(within).await;
    }
}

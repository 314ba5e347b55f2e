//! The broker: the state that its calls share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, Outgoing, Plan, Topic, TopicPattern,
};
use tokio::sync::RwLock;
use tokio::time::timeout;

use crate::client::Probe;
use crate::consumer::KafkaConsumer;
use crate::publish::{self, Publisher};
use crate::{KafkaOptions, capabilities, ensure};

/// A connection to Kafka. Clones share its producer; each consumer has a connection of its own.
#[derive(Clone)]
pub struct KafkaBroker(Arc<Inner>);

struct Inner {
    options: KafkaOptions,
    probe: Probe,
    publisher: Publisher,
    /// Shared with the consumers.
    closed: Arc<AtomicBool>,
    /// Read by calls under way, written by `close`.
    under_way: RwLock<()>,
}

impl KafkaBroker {
    /// Connects to the servers of a URL, `kafka://USER:PASSWORD@HOST:PORT,HOST:PORT?NAME=VALUE`.
    ///
    /// Parameters: `replicas`, `max_age` (in seconds), `max_message` (in bytes), `max_gap` (in messages), `max_poll`, `session_timeout`
    /// and `timeout` (in seconds), `sasl` (`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`), `tls=true`, and the PEM files `ca`, `cert` and
    /// `key`. [`KafkaOptions`] explains them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the URL is none; else as [`KafkaOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Self::options(url)?.connect().await
    }

    /// The options of a URL, to set more of them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the URL is none.
    pub fn options(url: &str) -> Result<KafkaOptions, BrokerError> {
        KafkaOptions::new(url)
    }

    pub(crate) async fn open(options: KafkaOptions) -> Result<Self, BrokerError> {
        let probe = Probe::open(&options)?;
        probe.round_trip("connecting").await?;
        let publisher = Publisher::open(options.clone())?;
        let (closed, under_way) = (Arc::default(), RwLock::new(()));
        Ok(Self(Arc::new(Inner { options, probe, publisher, closed, under_way })))
    }

    fn check_open(&self) -> Result<(), BrokerError> {
        if self.0.closed.load(Ordering::Acquire) { Err(BrokerError::Closed) } else { Ok(()) }
    }
}

impl fmt::Debug for KafkaBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KafkaBroker").field(&self.0.options).finish()
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    fn system(&self) -> &'static str {
        "kafka"
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        capabilities::of(&self.0.options, binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        let _call = self.0.under_way.read().await;
        self.check_open()?;
        ensure::ensure(&self.0.options, &self.0.probe, plan, dry_run).await
    }

    async fn topics(&self, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
        self.check_open()?;
        self.0.probe.topics("listing topics", pattern).await
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        let (broker, topic, count) = (self.clone(), topic.clone(), batch.len());
        // A call that is dropped still takes back the messages that are not confirmed in time: the library would keep them for ever.
        let publishing = async move {
            let _call = broker.0.under_way.read().await;
            match broker.check_open() {
                Ok(()) => broker.0.publisher.publish(&broker.0.probe, &topic, batch).await,
                Err(_) => batch.iter().map(|_| Fate::NotSent(Some(BrokerError::Closed))).collect(),
            }
        };
        Fate::of_task(publish::OPERATION, count, publishing).await
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        binding.check()?;
        let _call = self.0.under_way.read().await;
        self.check_open()?;
        let closed = Arc::clone(&self.0.closed);
        Ok(Box::new(KafkaConsumer::open(self.0.options.clone(), closed, &self.0.probe, binding).await?))
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.check_open()?;
        self.0.probe.round_trip("checking the health").await
    }

    async fn close(&self, within: Duration) {
        self.0.closed.store(true, Ordering::Release);
        let idle = timeout(within, self.0.under_way.write()).await;
        // The messages of calls that are still under way are taken back, which ends the calls.
        self.0.publisher.close().await;
        drop(idle);
    }
}

//! The broker: the state that its calls share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, Outgoing, Plan, Topic, TopicPattern,
    deadline_after,
};
use tokio::sync::{RwLock, watch};
use tokio::time::{Instant, timeout_at};

use crate::consumer::PulsarConsumer;
use crate::publish::Publisher;
use crate::{PulsarOptions, capabilities, ensure, publish, topics};

/// A connection to Pulsar. Clones share the client for publishing; each consumer has its own.
#[derive(Clone)]
pub struct PulsarBroker(Arc<Inner>);

struct Inner {
    options: Arc<PulsarOptions>,
    publisher: Publisher,
    /// Becomes true when the connection is closed.
    closed: watch::Sender<bool>,
    /// Read by calls under way, written by `close`.
    under_way: RwLock<()>,
}

impl PulsarBroker {
    /// Connects to the server of a URL, `pulsar://TOKEN@HOST:PORT/TENANT/NAMESPACE?NAME=VALUE`.
    ///
    /// `pulsar+ssl://` takes encrypted connections only. Token, tenant and namespace may be left out: the namespace is then
    /// `public/default`. Parameters: `admin`, the address of the admin interface (`http://HOST:8080` unless set, and
    /// `https://HOST:8443` with encryption), `token`, `ca` (a PEM file), `max_age` and `timeout` (in seconds),
    /// `max_message` (in bytes), `prefetch`. [`PulsarOptions`] explains them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the URL is none; else as [`PulsarOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Self::options(url)?.connect().await
    }

    /// The options of a URL, to set more of them.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the URL is none.
    pub fn options(url: &str) -> Result<PulsarOptions, BrokerError> {
        PulsarOptions::new(url)
    }

    pub(crate) async fn open(options: PulsarOptions) -> Result<Self, BrokerError> {
        if options.tls {
            // The library takes the provider of the process, and panics if a program has two and has chosen none.
            let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        }
        let options = Arc::new(options);
        let publisher = Publisher::open(Arc::clone(&options)).await?;
        let (closed, under_way) = (watch::Sender::new(false), RwLock::new(()));
        Ok(Self(Arc::new(Inner { options, publisher, closed, under_way })))
    }

    pub(crate) fn options_of(&self) -> Arc<PulsarOptions> {
        Arc::clone(&self.0.options)
    }

    pub(crate) fn check_open(&self) -> Result<(), BrokerError> {
        if *self.0.closed.borrow() { Err(BrokerError::Closed) } else { Ok(()) }
    }

    /// Becomes true when the connection is closed.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.0.closed.subscribe()
    }
}

impl fmt::Debug for PulsarBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PulsarBroker").field(&self.0.options).finish()
    }
}

#[async_trait]
impl Broker for PulsarBroker {
    fn system(&self) -> &'static str {
        "pulsar"
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        capabilities::of(&self.0.options, binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        let _call = self.0.under_way.read().await;
        self.check_open()?;
        ensure::ensure(&self.0.options, plan, dry_run).await
    }

    async fn topics(&self, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
        self.check_open()?;
        topics::topics(&self.0.options, pattern).await
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        let (broker, topic, count) = (self.clone(), topic.clone(), batch.len());
        // A call that is dropped still gives up a client that confirms nothing in time: the library would keep the messages.
        let publishing = async move {
            let _call = broker.0.under_way.read().await;
            match broker.check_open() {
                Ok(()) => broker.0.publisher.publish(&topic, batch).await,
                Err(_) => batch.iter().map(|_| Fate::NotSent(Some(BrokerError::Closed))).collect(),
            }
        };
        Fate::of_task(publish::OPERATION, count, publishing).await
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        binding.check()?;
        self.check_open()?;
        Ok(Box::new(PulsarConsumer::open(self.clone(), binding).await?))
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.check_open()?;
        self.0.publisher.health().await
    }

    async fn close(&self, within: Duration) {
        let until = deadline_after(within);
        self.0.closed.send_replace(true);
        // Calls that are still under way end with the time of a call.
        let idle = timeout_at(until, self.0.under_way.write()).await;
        self.0.publisher.close(until.max(Instant::now() + Duration::from_millis(100))).await;
        drop(idle);
    }
}

//! The broker: the state that its calls share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, NativeRequests, Outgoing, Plan, Topic,
    deadline_after,
};
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::time::timeout_at;

use crate::consumer::RabbitConsumer;
use crate::envelope::Limits;
use crate::publish::Publisher;
use crate::{RabbitOptions, capabilities, ensure};

/// A RabbitMQ server, or a cluster of servers. Clones share the connection for publishing; each consumer has its own.
#[derive(Clone)]
pub struct RabbitBroker(Arc<Inner>);

struct Inner {
    options: RabbitOptions,
    /// The greatest frame that was agreed upon with the server.
    frame_max: usize,
    publisher: Publisher,
    closed: AtomicBool,
    /// Read by calls under way, written by `close`.
    under_way: RwLock<()>,
}

impl RabbitBroker {
    /// Connects to an address: `amqp://user:password@host:port/vhost`. See [`RabbitOptions::new`].
    ///
    /// # Errors
    /// [`BrokerError`] if it is no address, the server can't be reached, or it refuses the credentials.
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        RabbitOptions::new(url)?.connect().await
    }

    pub(crate) async fn open(options: RabbitOptions) -> Result<Self, BrokerError> {
        let (publisher, frame_max) = Publisher::open(options.clone()).await?;
        let (closed, under_way) = (AtomicBool::new(false), RwLock::new(()));
        Ok(Self(Arc::new(Inner { options, frame_max, publisher, closed, under_way })))
    }

    /// Registers a call, for which [`close`](Broker::close) waits.
    pub(crate) async fn under_way(&self) -> Result<RwLockReadGuard<'_, ()>, BrokerError> {
        let call = self.0.under_way.read().await;
        self.check_open()?;
        Ok(call)
    }

    pub(crate) fn settings(&self) -> &RabbitOptions {
        &self.0.options
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.0.publisher
    }

    /// The limits of messages.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            body: capabilities::max_message(&self.0.options).bytes,
            header_bytes: capabilities::max_header_bytes(self.0.frame_max),
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), BrokerError> {
        if self.0.closed.load(Ordering::Acquire) { Err(BrokerError::Closed) } else { Ok(()) }
    }
}

impl fmt::Debug for RabbitBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RabbitBroker").field(&self.0.options).finish()
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    fn system(&self) -> &'static str {
        "rabbitmq"
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        capabilities::of(binding, &self.0.options, self.0.frame_max)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        let _call = self.0.under_way.read().await;
        self.check_open()?;
        ensure::ensure(&self.0.options, plan, dry_run).await
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        let _call = self.0.under_way.read().await;
        match self.check_open() {
            Ok(()) => self.0.publisher.publish(topic, batch).await,
            Err(_) => batch.iter().map(|_| Fate::NotSent(Some(BrokerError::Closed))).collect(),
        }
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        binding.check()?;
        self.check_open()?;
        Ok(Box::new(RabbitConsumer::subscribe(self.0.options.clone(), binding.clone()).await?))
    }

    fn native_requests(&self) -> Option<&dyn NativeRequests> {
        Some(self)
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.check_open()?;
        self.0.publisher.health().await
    }

    async fn close(&self, within: Duration) {
        let until = deadline_after(within);
        self.0.closed.store(true, Ordering::Release);
        let idle = timeout_at(until, self.0.under_way.write()).await;
        // Calls that are still under way end with the connection.
        self.0.publisher.close(until).await;
        drop(idle);
    }
}

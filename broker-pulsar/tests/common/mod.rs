//! Shared parts of this crate's tests: servers, and a proxy that cuts connections.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

pub mod proxy;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use proxy::Proxy;
use pulsar::{TokioExecutor, producer};
use recount_broker_pulsar::PulsarBroker;
use recount_messaging::{Binding, Broker, BrokerConsumer, Delivery, Message, Room, Settle, Signal, Topic};
use recount_servers::{Pulsar, PulsarSettings};
use recount_testing::broker::by_hand;
pub use recount_testing::broker::by_hand::{ensure, fates as publish, message, news, number, numbers};
use recount_testing::broker::{Abilities, Harness};

/// A server: one of this test alone, or one that the tests of the program share.
#[derive(Clone)]
pub struct Server {
    url: String,
    /// `None`: the environment names a server.
    own: Option<Arc<Mutex<Pulsar>>>,
}

impl Server {
    /// The server that the environment names, else one that the running tests of this program share.
    pub async fn shared() -> Self {
        static SHARED: Mutex<Weak<Mutex<Pulsar>>> = Mutex::new(Weak::new());
        if let Some(url) = std::env::var(recount_servers::PULSAR).ok().filter(|url| !url.is_empty()) {
            return Self { url, own: None };
        }
        let start = || {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let new = Arc::new(Mutex::new(Pulsar::start().unwrap()));
                *shared = Arc::downgrade(&new);
                new
            })
        };
        Self::of(tokio::task::spawn_blocking(start).await.unwrap())
    }

    /// A server that this test may kill and freeze.
    pub async fn private() -> Self {
        Self::with(PulsarSettings::default()).await
    }

    /// A server with these settings.
    pub async fn with(settings: PulsarSettings) -> Self {
        let start = || Arc::new(Mutex::new(Pulsar::start_with(settings).unwrap()));
        Self::of(tokio::task::spawn_blocking(start).await.unwrap())
    }

    fn of(own: Arc<Mutex<Pulsar>>) -> Self {
        let url = own.lock().unwrap().url();
        Self { url, own: Some(own) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address without the parameters.
    pub fn service(&self) -> &str {
        self.url.split('?').next().unwrap()
    }

    /// The address of the admin interface.
    pub fn admin(&self) -> &str {
        self.url.split_once("admin=").unwrap().1.split('&').next().unwrap()
    }

    pub fn port(&self) -> u16 {
        self.service().rsplit_once(':').unwrap().1.trim_end_matches('/').parse().unwrap()
    }

    /// Calls the private server, outside of the runtime's threads.
    pub async fn call<T: Send + 'static>(&self, call: impl FnOnce(&mut Pulsar) -> T + Send + 'static) -> T {
        let own = self.own.clone().expect("a server of this test");
        tokio::task::spawn_blocking(move || call(&mut own.lock().unwrap())).await.unwrap()
    }

    pub async fn broker(&self) -> PulsarBroker {
        PulsarBroker::connect(&self.url).await.unwrap()
    }

    /// A client of the library itself.
    pub async fn native(&self) -> pulsar::Pulsar<TokioExecutor> {
        pulsar::Pulsar::builder(self.service(), TokioExecutor).build().await.unwrap()
    }

    /// Publishes to a lane as another program.
    pub async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let name = format!("persistent://public/default/{topic}-partition-{}", topic.lane_of(key));
        let client = self.native().await;
        let mut producer = client.producer().with_topic(name).build().await.unwrap();
        let properties = headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value).into()));
        let message = producer::Message {
            properties: properties.collect(),
            payload: body.to_vec(),
            partition_key: Some(key.to_owned()),
            ..producer::Message::default()
        };
        producer.send_non_blocking(message).await.unwrap().await.unwrap();
    }
}

/// A server for the suite, behind a proxy of the test.
pub struct Suite {
    pub server: Server,
    private: bool,
    proxy: Proxy,
}

impl Suite {
    /// Tests of outages have a server of their own, all others share one.
    pub async fn start() -> Self {
        let private = std::thread::current().name().is_some_and(|test| test.starts_with("outages::"));
        let server = if private { Server::private().await } else { Server::shared().await };
        Self::of(server, private).await
    }

    pub async fn of(server: Server, private: bool) -> Self {
        let proxy = Proxy::before(server.port(), server.port()).await;
        Self { server, private, proxy }
    }

    pub async fn broker(&self) -> Arc<dyn Broker> {
        // A consumer gives up a connection without an answer after this time, as it does while a busy machine stands still.
        let timeout = if self.private { 15 } else { 30 };
        let url = format!("pulsar://127.0.0.1:{}?admin={}&timeout={timeout}", self.proxy.port, self.server.admin());
        Arc::new(PulsarBroker::connect(&url).await.unwrap())
    }

    pub fn cut(&self) {
        self.proxy.cut();
    }
}

#[async_trait]
impl Harness for Suite {
    async fn broker(&self) -> Arc<dyn Broker> {
        Suite::broker(self).await
    }

    async fn kill(&self) {
        self.server.call(|server| server.kill()).await;
    }

    async fn start(&self) {
        self.server.call(|server| server.restart().unwrap()).await;
    }

    async fn cut_connections(&self) {
        self.cut();
    }

    async fn freeze(&self) {
        self.server.call(|server| server.freeze()).await;
    }

    async fn thaw(&self) {
        self.server.call(|server| server.resume()).await;
    }

    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        self.server.publish_raw(topic, key, headers, body).await;
    }

    fn abilities(&self) -> Abilities {
        Abilities { kill: self.private, freeze: self.private, ..Abilities::default() }
    }
}

/// A binding of names that no other test uses.
pub fn unique() -> Binding {
    by_hand::unique(8)
}

/// The same with one lane.
pub fn single() -> Binding {
    let mut binding = unique();
    binding.topic = binding.topic.with_lanes(std::num::NonZeroU16::MIN);
    binding
}

/// The next deliveries, exactly so many.
pub async fn take(consumer: &mut Box<dyn BrokerConsumer>, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(40);
    while taken.len() < count && tokio::time::Instant::now() < deadline {
        if let Ok(Signal::Deliveries(deliveries)) = consumer.next(&Room::of(count - taken.len())).await {
            taken.extend(deliveries);
        }
    }
    assert_eq!(taken.len(), count, "deliveries");
    taken
}

/// Takes and acknowledges until nothing has come for this long. Returns the numbers.
pub async fn rest(consumer: &mut Box<dyn BrokerConsumer>, quiet: Duration) -> Vec<usize> {
    let (mut numbers, mut last) = (Vec::new(), tokio::time::Instant::now());
    while last.elapsed() < quiet {
        let signal = consumer.next(&Room::of(100)).await;
        if let Err(error) = &signal {
            eprintln!("{error:?}");
        }
        if let Ok(Signal::Deliveries(deliveries)) = signal {
            numbers.extend(deliveries.iter().map(|delivery| number(delivery.message.as_ref().unwrap())));
            let marks = deliveries.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect();
            assert!(consumer.settle(marks).await.iter().all(recount_messaging::Settled::is_done));
            last = tokio::time::Instant::now();
        }
    }
    numbers
}

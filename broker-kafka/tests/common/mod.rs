//! The server under test, behind a proxy that can cut connections.
#![allow(dead_code, unused_imports, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod proxy;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
pub(crate) use proxy::Proxy;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use recount_broker_kafka::KafkaBroker;
use recount_messaging::{Broker, Topic};
use recount_servers::{KAFKA, Kafka};
pub(crate) use recount_testing::broker::by_hand::{ensure, message, news, number, publish, take, take_all, unique};
use recount_testing::broker::{Abilities, Harness};
use tokio::task::block_in_place;
use tokio::time::Instant;

/// A server, and the address of a proxy before it.
pub(crate) struct Server {
    /// `None` if the environment names a server.
    private: Option<Mutex<Kafka>>,
    /// Without the proxy.
    pub(crate) direct: String,
    /// `None` if the server is none of 127.0.0.1, so that its announcements can't be replaced.
    proxy: Option<Proxy>,
}

impl Server {
    /// The server that the environment names, or a private one.
    pub(crate) async fn any() -> Self {
        match std::env::var(KAFKA) {
            Ok(url) if !url.is_empty() => Self::behind_proxy(None, url).await,
            _ => Self::private().await,
        }
    }

    /// A private server, which may be killed and frozen.
    pub(crate) async fn private() -> Self {
        let kafka = block_in_place(|| Kafka::start().unwrap());
        let url = kafka.url();
        Self::behind_proxy(Some(Mutex::new(kafka)), url).await
    }

    async fn behind_proxy(private: Option<Mutex<Kafka>>, direct: String) -> Self {
        let port = direct.strip_prefix("kafka://127.0.0.1:").and_then(|port| port.parse().ok());
        let proxy = match port {
            Some(port) => Some(Proxy::before(port, port).await),
            None => None,
        };
        Self { private, direct, proxy }
    }

    /// The address through the proxy.
    pub(crate) fn url(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("kafka://127.0.0.1:{}", proxy.port),
            None => self.direct.clone(),
        }
    }

    /// Without the proxy, as the client library takes it.
    pub(crate) fn hosts(&self) -> &str {
        self.direct.rsplit(['/', '@']).next().unwrap()
    }

    /// The private server.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Kafka) -> T) -> T {
        let kafka = self.private.as_ref().expect("a private server");
        block_in_place(|| act(&mut kafka.lock().unwrap()))
    }

    pub(crate) async fn connect(&self) -> Arc<dyn Broker> {
        Arc::new(KafkaBroker::connect(&self.url()).await.unwrap())
    }
}

#[async_trait]
impl Harness for Server {
    async fn broker(&self) -> Arc<dyn Broker> {
        self.connect().await
    }

    async fn kill(&self) {
        self.with(Kafka::kill);
    }

    async fn start(&self) {
        self.with(|kafka| kafka.restart().unwrap());
    }

    async fn cut_connections(&self) {
        self.proxy.as_ref().expect("a server of 127.0.0.1").cut();
    }

    async fn freeze(&self) {
        self.with(|kafka| kafka.freeze());
    }

    async fn thaw(&self) {
        self.with(|kafka| kafka.resume());
    }

    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        raw(self.hosts(), topic.name(), key, headers, body);
    }

    fn abilities(&self) -> Abilities {
        let private = self.private.is_some();
        Abilities {
            kill: private,
            freeze: private,
            cut: self.proxy.is_some(),
            cut_releases: false,
            ..Abilities::default()
        }
    }

    /// For the rebalance of a member that has died.
    fn patience(&self) -> Duration {
        Duration::from_secs(15)
    }
}

/// Publishes a record by the client library alone.
pub(crate) fn raw(hosts: &str, topic: &str, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", hosts).set("partitioner", "murmur2_random");
    let producer: BaseProducer = config.create().unwrap();
    let of =
        headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
    producer.send(BaseRecord::to(topic).key(key).payload(body).headers(of)).unwrap();
    block_in_place(|| producer.flush(Duration::from_secs(20)).unwrap());
}

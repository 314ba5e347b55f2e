//! The server under test, behind a proxy that can cut connections.
#![allow(dead_code, unused_imports, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use recount_broker_nats::NatsBroker;
use recount_messaging::{Broker, Topic};
use recount_servers::{NATS, Nats};
pub(crate) use recount_testing::broker::by_hand::{ensure, message, number, publish, take, take_all, unique};
use recount_testing::broker::{Abilities, Harness, Proxy};
use tokio::task::block_in_place;
use tokio::time::Instant;

/// A server, and the address of a proxy before it.
pub(crate) struct Server {
    /// `None` if the environment names a server.
    private: Option<Mutex<Nats>>,
    /// Without the proxy.
    pub(crate) direct: String,
    proxy: Proxy,
}

impl Server {
    /// The server that the environment names, or a private one.
    pub(crate) async fn any() -> Self {
        match std::env::var(NATS) {
            Ok(url) if !url.is_empty() => Self::behind_proxy(None, url).await,
            _ => Self::private().await,
        }
    }

    /// A private server, which may be killed and frozen.
    pub(crate) async fn private() -> Self {
        let nats = block_in_place(|| Nats::start().unwrap());
        let url = nats.url();
        Self::behind_proxy(Some(Mutex::new(nats)), url).await
    }

    async fn behind_proxy(private: Option<Mutex<Nats>>, direct: String) -> Self {
        let target = direct.rsplit(['/', '@']).next().unwrap();
        let proxy = Proxy::before(target).await.unwrap();
        Self { private, direct, proxy }
    }

    /// The address through the proxy.
    pub(crate) fn url(&self) -> String {
        let port = self.proxy.port();
        match self.direct.rsplit_once('@') {
            Some((login, _)) => format!("{login}@127.0.0.1:{port}"),
            None => format!("nats://127.0.0.1:{port}"),
        }
    }

    /// The private server.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Nats) -> T) -> T {
        let nats = self.private.as_ref().expect("a private server");
        block_in_place(|| act(&mut nats.lock().unwrap()))
    }

    pub(crate) async fn connect(&self) -> Arc<dyn Broker> {
        Arc::new(NatsBroker::options(&self.url()).unwrap().connect().await.unwrap())
    }
}

#[async_trait]
impl Harness for Server {
    async fn broker(&self) -> Arc<dyn Broker> {
        // A window that a test waits for.
        let options = NatsBroker::options(&self.url()).unwrap().duplicate_window(Duration::from_secs(10));
        Arc::new(options.connect().await.unwrap())
    }

    async fn kill(&self) {
        self.with(Nats::kill);
    }

    async fn start(&self) {
        self.with(|nats| nats.start_again().unwrap());
    }

    async fn cut_connections(&self) {
        self.proxy.cut();
    }

    async fn freeze(&self) {
        self.with(|nats| nats.freeze());
    }

    async fn thaw(&self) {
        self.with(|nats| nats.resume());
    }

    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let client = async_nats::connect(&self.direct).await.unwrap();
        let mut map = async_nats::HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, std::str::from_utf8(value).unwrap());
        }
        let subject = format!("{topic}.{}", topic.lane_of(key));
        // The stream's answer says that it is stored. A message that it refuses is none of the test's.
        let _ = client.request_with_headers(subject, map, body.to_vec().into()).await;
    }

    fn abilities(&self) -> Abilities {
        let private = self.private.is_some();
        Abilities { kill: private, freeze: private, ..Abilities::default() }
    }
}

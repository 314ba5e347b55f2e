//! The servers under test, behind proxies that can cut connections.
#![allow(dead_code, unused_imports, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

pub(crate) mod native;

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use native::Native;
use recount_broker_aws::{AwsBroker, AwsOptions};
use recount_messaging::{Binding, Broker, Topic};
use recount_servers::{Aws, AwsKind};
use recount_testing::broker::by_hand;
pub(crate) use recount_testing::broker::by_hand::{ensure, message, news, number, numbers, publish, take, take_all};
use recount_testing::broker::{Abilities, Harness, Proxy};
use tokio::task::block_in_place;
use tokio::time::Instant;

/// The servers that stand in for AWS, and the claims that each is tested for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `ElasticMQ`, without SNS: order, leases, limits.
    Sqs,
    /// fauxqs: SNS, fates, its own end.
    Sns,
}

impl Kind {
    /// Starts a server. A private one keeps stored messages when it is killed.
    fn start(self, is_private: bool) -> Aws {
        let kind = match self {
            Self::Sqs => AwsKind::ElasticMq,
            Self::Sns if is_private => AwsKind::Fauxqs,
            Self::Sns => AwsKind::FauxqsInMemory,
        };
        Aws::start(kind).unwrap()
    }

    fn named(self) -> Option<String> {
        let name = match self {
            Self::Sqs => recount_servers::SQS,
            Self::Sns => recount_servers::SNS,
        };
        std::env::var(name).ok().filter(|url| !url.is_empty())
    }
}

/// A server, and the address of a proxy before it.
pub(crate) struct Server {
    kind: Kind,
    own: Option<Arc<Mutex<Aws>>>,
    is_private: bool,
    /// The address without the proxy.
    pub(crate) direct: String,
    proxy: Option<Proxy>,
}

impl Server {
    /// The server that the environment names, or one that the tests of the program share.
    pub(crate) async fn shared(kind: Kind) -> Self {
        static SQS: Mutex<Weak<Mutex<Aws>>> = Mutex::new(Weak::new());
        static SNS: Mutex<Weak<Mutex<Aws>>> = Mutex::new(Weak::new());
        if let Some(url) = kind.named() {
            let proxy = match port(&url) {
                Some(port) => Some(Proxy::before(&format!("127.0.0.1:{port}")).await.unwrap()),
                None => None,
            };
            return Self { kind, own: None, is_private: false, direct: url, proxy };
        }
        let own = block_in_place(|| {
            let mut shared = if kind == Kind::Sqs { SQS.lock().unwrap() } else { SNS.lock().unwrap() };
            shared.upgrade().unwrap_or_else(|| {
                let new = Arc::new(Mutex::new(kind.start(false)));
                *shared = Arc::downgrade(&new);
                new
            })
        });
        Self::of(kind, own, false).await
    }

    /// A private server, which may be killed and frozen.
    pub(crate) async fn private(kind: Kind) -> Self {
        Self::of(kind, block_in_place(|| Arc::new(Mutex::new(kind.start(true)))), true).await
    }

    async fn of(kind: Kind, own: Arc<Mutex<Aws>>, is_private: bool) -> Self {
        let (url, port) = {
            let server = own.lock().unwrap();
            (server.url(), server.port())
        };
        let proxy = Proxy::before(&format!("127.0.0.1:{port}")).await.unwrap();
        Self { kind, own: Some(own), is_private, direct: url, proxy: Some(proxy) }
    }

    /// The address through the proxy, with short waits.
    pub(crate) fn url(&self) -> String {
        let Some(proxy) = &self.proxy else { return self.direct.clone() };
        let (before, after) = self.direct.split_once("127.0.0.1:").unwrap();
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        format!("{before}127.0.0.1:{}{rest}", proxy.port())
    }

    pub(crate) fn options(&self) -> AwsOptions {
        AwsBroker::options(&self.url()).unwrap().wait(Duration::from_secs(1)).call_timeout(Duration::from_secs(4))
    }

    pub(crate) async fn connect(&self) -> Arc<dyn Broker> {
        let started = Instant::now();
        loop {
            match self.options().connect().await {
                Ok(broker) => return Arc::new(broker),
                // The first answers of a server that has just started may take long on a busy machine.
                Err(error) => {
                    assert!(error.is_transient() && started.elapsed() < Duration::from_secs(30), "{error:?}")
                }
            }
        }
    }

    /// The port of the server itself.
    pub(crate) fn port(&self) -> u16 {
        port(&self.direct).expect("a server of this machine")
    }

    /// The clients of the SDK, without the proxy.
    pub(crate) fn native(&self) -> Native {
        Native::connect(&self.direct)
    }

    /// Publishes a message that may have names and characters that a server refuses: those are replaced.
    pub(crate) async fn publish_lossy(&self, topic: &Topic, headers: &[(&str, &[u8])], body: &[u8]) {
        let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}');
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(|c| !allowed(c), "?");
        let body = format!("{} ", text(body));
        let headers: Vec<(String, String)> = headers
            .iter()
            .take(10)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"), text(value)))
            .collect();
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        self.native().publish(self.kind, topic, "key", &headers, body.as_bytes()).await;
    }

    /// The private server.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Aws) -> T) -> T {
        assert!(self.is_private);
        block_in_place(|| act(&mut self.own.as_ref().unwrap().lock().unwrap()))
    }
}

#[async_trait]
impl Harness for Server {
    async fn broker(&self) -> Arc<dyn Broker> {
        self.connect().await
    }

    async fn kill(&self) {
        self.with(Aws::kill);
    }

    async fn start(&self) {
        self.with(|server| server.restart().unwrap());
    }

    async fn cut_connections(&self) {
        self.proxy.as_ref().expect("a server of the tests").cut();
    }

    async fn freeze(&self) {
        self.with(|server| server.freeze());
    }

    async fn thaw(&self) {
        self.with(|server| server.resume());
    }

    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        self.native().publish(self.kind, topic, key, headers, body).await;
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            // ElasticMQ loses stored messages when it is killed.
            kill: self.is_private && self.kind == Kind::Sns,
            freeze: self.is_private,
            cut: self.proxy.is_some(),
            bytes: false,
            ..Abilities::default()
        }
    }

    // The servers take a minute for fifty publishers and fifty groups on a busy machine.
    fn effort(&self) -> usize {
        40
    }

    // A request waits a second, and counts as a part of the lease.
    fn short_lease(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// The port of a server on this machine.
fn port(url: &str) -> Option<u16> {
    let (_, rest) = url.split_once("127.0.0.1:")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A binding of names that no other test uses.
pub(crate) fn unique() -> Binding {
    by_hand::unique(8)
}

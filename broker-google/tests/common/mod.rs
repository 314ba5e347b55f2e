//! The fake of Pub/Sub under test, behind proxies that can cut connections.
#![allow(dead_code, unused_imports, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::Publisher;
use google_cloud_pubsub::model::Message as Native;
use recount_broker_google::{GoogleBroker, GoogleOptions};
use recount_messaging::{Binding, Broker, Message, Topic};
use recount_servers::PubSub;
use recount_testing::broker::by_hand;
pub(crate) use recount_testing::broker::by_hand::{ensure, fates, message, news, number, take};
use recount_testing::broker::{Abilities, Harness, Proxy};
use tokio::task::block_in_place;

/// The project: the fake has any.
pub(crate) const PROJECT: &str = "recount-tests";

/// A private fake, and proxies before its two ports. It keeps nothing, so it is not killed.
pub(crate) struct Server {
    pub(crate) fake: Mutex<PubSub>,
    calls: Proxy,
    admin: Proxy,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let fake = block_in_place(|| PubSub::start().unwrap());
        let calls = Proxy::before(&format!("127.0.0.1:{}", fake.port())).await.unwrap();
        let admin = Proxy::before(&format!("127.0.0.1:{}", fake.admin_port())).await.unwrap();
        Self { fake: Mutex::new(fake), calls, admin }
    }

    pub(crate) fn options(&self) -> GoogleOptions {
        let (calls, admin) = (self.calls.port(), self.admin.port());
        let url = format!("pubsub://{PROJECT}?endpoint=http://127.0.0.1:{calls}&admin=http://127.0.0.1:{admin}");
        GoogleBroker::options(&url).unwrap()
    }

    pub(crate) async fn connect(&self) -> Arc<dyn Broker> {
        Arc::new(self.options().connect().await.unwrap())
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut PubSub) -> T) -> T {
        block_in_place(|| act(&mut self.fake.lock().unwrap()))
    }

    /// A publisher of the client library, without proxies.
    pub(crate) async fn publisher(&self, topic: &Topic) -> Publisher {
        let endpoint = format!("http://127.0.0.1:{}", self.with(|fake| fake.port()));
        let builder = Publisher::builder(format!("projects/{PROJECT}/topics/recount-{topic}"));
        builder.with_endpoint(endpoint).with_credentials(anonymous::Builder::new().build()).build().await.unwrap()
    }
}

#[async_trait]
impl Harness for Server {
    async fn broker(&self) -> Arc<dyn Broker> {
        self.connect().await
    }

    async fn kill(&self) {
        panic!("the fake keeps nothing, so its end is not declared");
    }

    async fn start(&self) {
        panic!("the fake keeps nothing, so its end is not declared");
    }

    async fn cut_connections(&self) {
        self.calls.cut();
        self.admin.cut();
    }

    async fn freeze(&self) {
        self.with(|fake| fake.freeze());
    }

    async fn thaw(&self) {
        self.with(|fake| fake.resume());
    }

    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let attributes = headers.iter().map(|(name, value)| (*name, String::from_utf8_lossy(value).into_owned()));
        let native = Native::new().set_data(body.to_vec()).set_attributes(attributes).set_ordering_key(key);
        self.publisher(topic).await.publish(native).await.unwrap();
    }

    fn abilities(&self) -> Abilities {
        // The client library extends leases over a cut; the fake holds back the later messages of a key while one is open.
        Abilities { kill: false, cut_releases: false, together: false, ..Abilities::default() }
    }

    /// The fake hands out messages at each tick of 10 milliseconds.
    fn effort(&self) -> usize {
        20
    }
}

/// Long enough for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A binding of names that no other test uses.
pub(crate) fn unique() -> Binding {
    by_hand::unique(8)
}

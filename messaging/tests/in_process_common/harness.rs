//! The in-process broker under the suite of brokers, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_messaging::{Broker, InProcess, Profile, PublishFault, Settings, Topic};
use recount_testing::broker::{Abilities, Harness};

/// A server, and how long its tests may wait.
pub(crate) struct Server {
    pub(crate) broker: InProcess,
    pub(crate) patience: Duration,
}

/// The settings of a server, with the seed that the environment names.
pub(crate) fn settings(profile: Profile) -> Settings {
    let seed = std::env::var("RECOUNT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    Settings::new(profile).seed(seed)
}

#[async_trait]
impl Harness for Server {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.broker.connect())
    }
    async fn kill(&self) {
        self.broker.faults().kill();
    }
    async fn start(&self) {
        // As long as the start of a real server takes.
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.broker.faults().start();
        // With a store it reads that first.
        while self.broker.health().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    async fn cut_connections(&self) {
        let faults = self.broker.faults();
        faults.cut_connections();
        // Of the messages under way some had arrived, some had not.
        faults.publishes(3, PublishFault::StoredUnknown);
        faults.publishes(3, PublishFault::LostUnknown);
    }
    async fn freeze(&self) {
        self.broker.faults().freeze();
    }
    async fn thaw(&self) {
        self.broker.faults().thaw();
    }
    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value)));
        let body = Bytes::copy_from_slice(body);
        self.broker.faults().publish_raw(topic, key, headers.collect(), body).unwrap();
    }
    fn abilities(&self) -> Abilities {
        Abilities { spreads: self.broker.profile() != Profile::RabbitMq, ..Abilities::default() }
    }
    fn patience(&self) -> Duration {
        self.patience
    }
}

/// Runs a promise on one thread whose time is paused: waits take no time.
pub(crate) fn in_virtual_time<H: Harness>(harness: impl Future<Output = H>, promise: impl AsyncFnOnce(&dyn Harness)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { promise(&harness.await).await });
}

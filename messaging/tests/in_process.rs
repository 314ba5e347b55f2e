//! The in-process broker keeps the promises of every broker, in each of its profiles. Time is virtual.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_messaging::{Broker, InProcess, Profile, PublishFault, Settings, Topic};
use recount_testing::broker::{Abilities, Harness};

struct Memory(InProcess);

fn memory(profile: Profile) -> Memory {
    let seed = std::env::var("RECOUNT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    Memory(InProcess::with_settings(Settings::new(profile).seed(seed)))
}

#[async_trait]
impl Harness for Memory {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.0.connect())
    }
    async fn kill(&self) {
        self.0.faults().kill();
    }
    async fn start(&self) {
        // As long as the start of a real server takes.
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.0.faults().start();
    }
    async fn cut_connections(&self) {
        let faults = self.0.faults();
        faults.cut_connections();
        // What was under way: some had arrived, some had not.
        faults.publishes(3, PublishFault::StoredUnknown);
        faults.publishes(3, PublishFault::LostUnknown);
    }
    async fn freeze(&self) {
        self.0.faults().freeze();
    }
    async fn thaw(&self) {
        self.0.faults().thaw();
    }
    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value)));
        let body = Bytes::copy_from_slice(body);
        self.0.faults().publish_raw(topic, key, headers.collect(), body).unwrap();
    }
    fn abilities(&self) -> Abilities {
        Abilities { spreads: self.0.profile() != Profile::RabbitMq, ..Abilities::default() }
    }
    fn patience(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60)
    }
}

/// Runs a promise on one thread whose time is paused: waits take no time.
fn in_virtual_time<H: Harness>(harness: impl Future<Output = H>, promise: impl AsyncFnOnce(&dyn Harness)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { promise(&harness.await).await });
}

mod own {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Own), by in_virtual_time);
}
mod kafka {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Kafka), by in_virtual_time);
}
mod pulsar {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Pulsar), by in_virtual_time);
}
mod rabbitmq {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::RabbitMq), by in_virtual_time);
}
mod nats {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Nats), by in_virtual_time);
}
mod fifo {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::Fifo), by in_virtual_time);
}
mod pubsub {
    use super::*;
    recount_testing::broker_suite!(memory(Profile::PubSub), by in_virtual_time);
}

//! Questions and replies over the in-process broker, in each of its profiles. Time is virtual.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::Store;
use recount_messaging::{Broker, InProcess, Profile, Settings, Topic};
use recount_store_memory::MemoryStore;
use recount_testing::questions::Carrier;

struct Memory(InProcess);

fn memory(profile: Profile) -> Memory {
    let seed = std::env::var("RECOUNT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    Memory(InProcess::with_settings(Settings::new(profile).seed(seed)))
}

fn owned(headers: &[(&str, &[u8])]) -> Vec<(String, Bytes)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value))).collect()
}

#[async_trait]
impl Carrier for Memory {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.0.connect())
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }

    async fn cut_connections(&self) {
        self.0.faults().cut_connections();
    }

    async fn question_raw(&self, topic: &Topic, headers: &[(&str, &[u8])], body: &[u8]) {
        let (faults, headers, body) = (self.0.faults(), owned(headers), Bytes::copy_from_slice(body));
        match self.0.native_requests() {
            Some(_) => faults.request_raw(topic, headers, body).unwrap(),
            None => drop(faults.publish_raw(topic, "key", headers, body).unwrap()),
        }
    }

    async fn reply_raw(&self, address: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let (faults, headers, body) = (self.0.faults(), owned(headers), Bytes::copy_from_slice(body));
        match self.0.native_requests() {
            Some(_) => faults.send_raw(address, headers, body).unwrap(),
            None => drop(faults.publish_raw(&Topic::new(address).unwrap(), "key", headers, body).unwrap()),
        }
    }
}

/// Runs a promise on one thread whose time is paused: waits take no time.
fn in_virtual_time<C: Carrier>(carrier: impl Future<Output = C>, promise: impl AsyncFnOnce(&dyn Carrier)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { promise(&carrier.await).await });
}

mod own {
    use super::*;
    recount_testing::question_suite!(memory(Profile::Own), by in_virtual_time);
}
mod kafka {
    use super::*;
    recount_testing::question_suite!(memory(Profile::Kafka), by in_virtual_time);
}
mod pulsar {
    use super::*;
    recount_testing::question_suite!(memory(Profile::Pulsar), by in_virtual_time);
}
mod rabbitmq {
    use super::*;
    recount_testing::question_suite!(memory(Profile::RabbitMq), by in_virtual_time);
}
mod nats {
    use super::*;
    recount_testing::question_suite!(memory(Profile::Nats), by in_virtual_time);
}
mod fifo {
    use super::*;
    recount_testing::question_suite!(memory(Profile::Fifo), by in_virtual_time);
}
mod pubsub {
    use super::*;
    recount_testing::question_suite!(memory(Profile::PubSub), by in_virtual_time);
}

//! Two services over a real server, under faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::Proxy;
use recount_broker_kafka::KafkaBroker;
use recount_messaging::{Broker, BrokerError};
use recount_servers::Kafka;
use recount_store_memory::MemoryStore;
use recount_testing::broker::campaign::{self, Server};
use tokio::task::block_in_place;

struct Private {
    kafka: Mutex<Kafka>,
    /// One before each proxy of the campaign, which does not know the protocol.
    proxies: Mutex<Vec<Proxy>>,
}

impl Private {
    fn call<T>(&self, call: impl FnOnce(&mut Kafka) -> T) -> T {
        block_in_place(|| call(&mut self.kafka.lock().unwrap()))
    }
}

#[async_trait]
impl Server for Private {
    fn port(&self) -> u16 {
        self.call(|kafka| kafka.port())
    }

    async fn connect(&self, port: u16) -> Result<Arc<dyn Broker>, BrokerError> {
        let proxy = Proxy::before(port, self.port()).await;
        // Members that die together with their connections are missed for as long as this.
        let url = format!("kafka://127.0.0.1:{}?session_timeout=6&timeout=5", proxy.port);
        self.proxies.lock().unwrap().push(proxy);
        Ok(Arc::new(KafkaBroker::connect(&url).await?))
    }

    async fn kill(&self) {
        self.call(Kafka::kill);
    }

    async fn start(&self) {
        self.call(|kafka| kafka.restart().unwrap());
    }

    async fn freeze(&self) {
        self.call(|kafka| kafka.freeze());
    }

    async fn thaw(&self) {
        self.call(|kafka| kafka.resume());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_take_effect_once_and_in_order_under_all_faults() {
    let start =
        async || Private { kafka: Mutex::new(block_in_place(|| Kafka::start().unwrap())), proxies: Mutex::default() };
    campaign::run(start, || Arc::new(MemoryStore::new())).await;
}

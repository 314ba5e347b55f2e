//! Two services over a real server, under faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use recount_broker_rabbitmq::RabbitOptions;
use recount_messaging::{Broker, BrokerError};
use recount_servers::RabbitMq;
use recount_store_memory::MemoryStore;
use recount_testing::broker::campaign::{self, Server};
use tokio::task::block_in_place;

struct Private(Mutex<RabbitMq>);

impl Private {
    fn call<T>(&self, call: impl FnOnce(&mut RabbitMq) -> T) -> T {
        block_in_place(|| call(&mut self.0.lock().unwrap()))
    }
}

#[async_trait]
impl Server for Private {
    fn port(&self) -> u16 {
        self.call(|rabbit| rabbit.port())
    }

    async fn connect(&self, port: u16) -> Result<Arc<dyn Broker>, BrokerError> {
        let options = RabbitOptions::new(&format!("amqp://guest:guest@127.0.0.1:{port}/%2f"))?;
        let options = options.call_timeout(Duration::from_secs(5)).heartbeat(Duration::from_secs(2));
        Ok(Arc::new(options.connect().await?))
    }

    async fn kill(&self) {
        self.call(RabbitMq::kill);
    }

    async fn start(&self) {
        self.call(|rabbit| rabbit.restart().unwrap());
    }

    async fn freeze(&self) {
        self.call(|rabbit| rabbit.freeze());
    }

    async fn thaw(&self) {
        self.call(|rabbit| rabbit.resume());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_take_effect_once_and_in_order_under_all_faults() {
    let start = async || Private(Mutex::new(block_in_place(|| RabbitMq::start().unwrap())));
    campaign::run(start, || Arc::new(MemoryStore::new())).await;
}

//! Two services over a real server, under faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use recount_broker_nats::NatsBroker;
use recount_messaging::{Broker, BrokerError};
use recount_servers::Nats;
use recount_store_memory::MemoryStore;
use recount_testing::broker::campaign::{self, Server};
use tokio::task::block_in_place;

struct Private(Mutex<Nats>);

impl Private {
    fn call<T>(&self, call: impl FnOnce(&mut Nats) -> T) -> T {
        block_in_place(|| call(&mut self.0.lock().unwrap()))
    }
}

#[async_trait]
impl Server for Private {
    fn port(&self) -> u16 {
        self.call(|nats| nats.port())
    }

    async fn connect(&self, port: u16) -> Result<Arc<dyn Broker>, BrokerError> {
        let options = NatsBroker::options(&format!("nats://127.0.0.1:{port}"))?.call_timeout(Duration::from_secs(5));
        Ok(Arc::new(options.connect().await?))
    }

    async fn kill(&self) {
        self.call(Nats::kill);
    }

    async fn start(&self) {
        self.call(|nats| nats.start_again().unwrap());
    }

    async fn freeze(&self) {
        self.call(|nats| nats.freeze());
    }

    async fn thaw(&self) {
        self.call(|nats| nats.resume());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_take_effect_once_and_in_order_under_all_faults() {
    let start = async || Private(Mutex::new(block_in_place(|| Nats::start().unwrap())));
    campaign::run(start, || Arc::new(MemoryStore::new())).await;
}

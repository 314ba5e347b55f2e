//! Two services over a server with SNS, under faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use recount_broker_aws::AwsBroker;
use recount_messaging::{Broker, BrokerError};
use recount_servers::{Aws, AwsKind};
use recount_store_memory::MemoryStore;
use recount_testing::broker::campaign::{self, Server};
use tokio::task::block_in_place;

struct Private(Mutex<Aws>);

impl Private {
    fn call<T>(&self, call: impl FnOnce(&mut Aws) -> T) -> T {
        block_in_place(|| call(&mut self.0.lock().unwrap()))
    }
}

#[async_trait]
impl Server for Private {
    fn port(&self) -> u16 {
        self.call(|server| server.port())
    }

    async fn connect(&self, port: u16) -> Result<Arc<dyn Broker>, BrokerError> {
        let url = format!("sqs://key:secret@us-east-1?endpoint=http://127.0.0.1:{port}&wait=1");
        let options = AwsBroker::options(&url)?.call_timeout(Duration::from_secs(5));
        Ok(Arc::new(options.connect().await?))
    }

    async fn kill(&self) {
        self.call(Aws::kill);
    }

    async fn start(&self) {
        self.call(|server| server.restart().unwrap());
    }

    async fn freeze(&self) {
        self.call(|server| server.freeze());
    }

    async fn thaw(&self) {
        self.call(|server| server.resume());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_take_effect_once_and_in_order_under_all_faults() {
    let start = async || Private(Mutex::new(block_in_place(|| Aws::start(AwsKind::Fauxqs).unwrap())));
    campaign::run(start, || Arc::new(MemoryStore::new())).await;
}

//! Two services over a real server, under faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::proxy::Proxy;
use recount_broker_pulsar::PulsarBroker;
use recount_messaging::{Broker, BrokerError};
use recount_servers::Pulsar;
use recount_store_memory::MemoryStore;
use recount_testing::broker::campaign::{self, Server};
use tokio::task::block_in_place;

struct Private {
    server: Mutex<Pulsar>,
    /// Before each proxy of the campaign, so that clients stay behind that one.
    proxies: tokio::sync::Mutex<HashMap<u16, Proxy>>,
}

impl Private {
    fn call<T>(&self, call: impl FnOnce(&mut Pulsar) -> T) -> T {
        block_in_place(|| call(&mut self.server.lock().unwrap()))
    }
}

#[async_trait]
impl Server for Private {
    fn port(&self) -> u16 {
        self.call(|pulsar| pulsar.port())
    }

    async fn connect(&self, port: u16) -> Result<Arc<dyn Broker>, BrokerError> {
        let (server, admin) = self.call(|pulsar| (pulsar.port(), pulsar.admin_port()));
        let mut proxies = self.proxies.lock().await;
        if let std::collections::hash_map::Entry::Vacant(new) = proxies.entry(port) {
            new.insert(Proxy::before(port, server).await);
        }
        let url = format!("pulsar://127.0.0.1:{}?admin=http://127.0.0.1:{admin}", proxies[&port].port);
        Ok(Arc::new(PulsarBroker::options(&url)?.call_timeout(Duration::from_secs(5)).connect().await?))
    }

    async fn kill(&self) {
        self.call(Pulsar::kill);
    }

    async fn start(&self) {
        self.call(|pulsar| pulsar.restart().unwrap());
    }

    async fn freeze(&self) {
        self.call(|pulsar| pulsar.freeze());
    }

    async fn thaw(&self) {
        self.call(|pulsar| pulsar.resume());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_take_effect_once_and_in_order_under_all_faults() {
    let start = async || Private {
        server: Mutex::new(block_in_place(|| Pulsar::start().unwrap())),
        proxies: tokio::sync::Mutex::default(),
    };
    campaign::run(start, || Arc::new(MemoryStore::new())).await;
}

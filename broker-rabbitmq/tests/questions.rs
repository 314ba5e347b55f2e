//! Questions and replies on a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::Server;
use common::native::Native;
use recount_broker_rabbitmq::RabbitOptions;
use recount_core::Store;
use recount_messaging::{Broker, Topic};
use recount_store_memory::MemoryStore;
use recount_testing::broker::Proxy;
use recount_testing::questions::Carrier;

struct Rabbit {
    server: Server,
    proxy: Proxy,
}

impl Rabbit {
    async fn start() -> Self {
        let server = Server::shared().await;
        let port: u16 =
            server.url().rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()).unwrap().parse().unwrap();
        Self { server, proxy: Proxy::before(&format!("127.0.0.1:{port}")).await.unwrap() }
    }
}

#[async_trait]
impl Carrier for Rabbit {
    async fn broker(&self) -> Arc<dyn Broker> {
        let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f?timeout=15&heartbeat=30", self.proxy.port());
        Arc::new(RabbitOptions::new(&url).unwrap().connect().await.unwrap())
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }

    async fn cut_connections(&self) {
        self.proxy.cut();
    }

    async fn question_raw(&self, topic: &Topic, headers: &[(&str, &[u8])], body: &[u8]) {
        self.reply_raw(&format!("recount.{topic}:ask"), headers, body).await;
    }

    async fn reply_raw(&self, address: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        Native::connect(self.server.url()).await.send(address, headers, body).await;
    }
}

recount_testing::question_suite!(Rabbit::start().await);

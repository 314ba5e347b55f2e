//! The conformance suite of brokers against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use recount_broker_rabbitmq::RabbitOptions;
use recount_messaging::{Broker, Topic};
use recount_testing::broker::{Abilities, Harness, Proxy};

use common::Server;
use common::native::Native;

struct Rabbit {
    server: Server,
    private: bool,
    proxy: Proxy,
}

impl Rabbit {
    /// Tests of outages have a server of their own, all others share one.
    async fn start() -> Self {
        let private = std::thread::current().name().is_some_and(|test| test.starts_with("outages::"));
        let server = if private { Server::private().await } else { Server::shared().await };
        let port: u16 =
            server.url().rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()).unwrap().parse().unwrap();
        Self { server, private, proxy: Proxy::before(&format!("127.0.0.1:{port}")).await.unwrap() }
    }
}

#[async_trait]
impl Harness for Rabbit {
    async fn broker(&self) -> Arc<dyn Broker> {
        let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f?timeout=15&heartbeat=2", self.proxy.port());
        Arc::new(RabbitOptions::new(&url).unwrap().connect().await.unwrap())
    }

    async fn kill(&self) {
        self.server.call(|server| server.kill()).await;
    }

    async fn start(&self) {
        self.server.call(|server| server.restart().unwrap()).await;
    }

    async fn cut_connections(&self) {
        self.proxy.cut();
    }

    async fn freeze(&self) {
        self.server.call(|server| server.freeze()).await;
    }

    async fn thaw(&self) {
        self.server.call(|server| server.resume()).await;
    }

    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        Native::connect(self.server.url()).await.publish(topic, key, headers, body).await;
    }

    fn abilities(&self) -> Abilities {
        // The first member of a group is the active consumer of every lane, until it leaves.
        Abilities { kill: self.private, freeze: self.private, spreads: false, ..Abilities::default() }
    }
}

recount_testing::broker_suite!(Rabbit::start().await);

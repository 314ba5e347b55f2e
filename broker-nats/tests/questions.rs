//! Questions and replies on a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::Server;
use recount_core::Store;
use recount_messaging::{Broker, Topic};
use recount_store_memory::MemoryStore;
use recount_testing::broker::Harness;
use recount_testing::questions::Carrier;

struct Nats(Server);

impl Nats {
    async fn publish(&self, subject: String, headers: &[(&str, &[u8])], body: &[u8]) {
        let client = async_nats::connect(&self.0.direct).await.unwrap();
        let mut map = async_nats::HeaderMap::new();
        // A colon ends the name of a header of NATS.
        for (name, value) in headers.iter().filter(|(name, _)| !name.contains(':')) {
            map.insert(*name, std::str::from_utf8(value).unwrap());
        }
        client.publish_with_headers(subject, map, body.to_vec().into()).await.unwrap();
        client.flush().await.unwrap();
    }
}

#[async_trait]
impl Carrier for Nats {
    async fn broker(&self) -> Arc<dyn Broker> {
        self.0.connect().await
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }

    async fn cut_connections(&self) {
        Harness::cut_connections(&self.0).await;
    }

    async fn question_raw(&self, topic: &Topic, headers: &[(&str, &[u8])], body: &[u8]) {
        self.publish(format!("recount.ask.{topic}"), headers, body).await;
    }

    async fn reply_raw(&self, address: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        self.publish(address.to_owned(), headers, body).await;
    }
}

recount_testing::question_suite!(Nats(Server::any().await));

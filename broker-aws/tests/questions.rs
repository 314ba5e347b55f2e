//! Questions and replies through topics. The first service that asks declares queues for its replies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Kind, Server};
use recount_core::Store;
use recount_messaging::{Broker, Topic};
use recount_store_memory::MemoryStore;
use recount_testing::broker::Harness;
use recount_testing::questions::Carrier;

struct Aws(Server);

impl Aws {
    /// The message of a foreign program. One with attributes is an envelope around these bytes, in the mode that is read.
    async fn publish(&self, topic: &Topic, headers: &[(&str, &[u8])], body: &[u8]) {
        let attributes = headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("ce-")?, value)));
        let mut envelope: BTreeMap<&str, String> =
            attributes.map(|(name, value)| (name, String::from_utf8_lossy(value).into_owned())).collect();
        if envelope.is_empty() {
            return self.0.publish_lossy(topic, headers, body).await;
        }
        let data = STANDARD.encode(body);
        envelope.insert("data_base64", data);
        self.0.publish_lossy(topic, &[], &serde_json::to_vec(&envelope).unwrap()).await;
    }
}

#[async_trait]
impl Carrier for Aws {
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
        self.publish(topic, headers, body).await;
    }

    async fn reply_raw(&self, address: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        self.publish(&Topic::new(address).unwrap(), headers, body).await;
    }
}

recount_testing::question_suite!(Aws(Server::shared(Kind::Sns).await));

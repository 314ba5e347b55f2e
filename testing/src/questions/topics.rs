//! Questions over a broker that carries them through topics.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;

use async_trait::async_trait;
use recount_core::Store;
use recount_messaging::{Broker, Topic};

use super::Carrier;
use crate::broker::Harness;

/// The carrier of a broker without requests of its own: a question is a message of its topic, and the address of a reply the
/// name of a topic.
pub struct Topics<H> {
    harness: H,
    store: fn() -> Arc<dyn Store>,
}

impl<H: Harness> Topics<H> {
    /// The carrier of this broker, with stores that the function makes.
    #[must_use]
    pub fn new(harness: H, store: fn() -> Arc<dyn Store>) -> Self {
        Self { harness, store }
    }
}

impl<H> fmt::Debug for Topics<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").finish_non_exhaustive()
    }
}

#[async_trait]
impl<H: Harness> Carrier for Topics<H> {
    async fn broker(&self) -> Arc<dyn Broker> {
        self.harness.broker().await
    }

    fn store(&self) -> Arc<dyn Store> {
        (self.store)()
    }

    async fn cut_connections(&self) {
        self.harness.cut_connections().await;
    }

    async fn question_raw(&self, topic: &Topic, headers: &[(&str, &[u8])], body: &[u8]) {
        self.harness.publish_raw(topic, "key", headers, body).await;
    }

    async fn reply_raw(&self, address: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let topic = Topic::new(address).unwrap().with_lanes(NonZeroU16::MIN);
        self.harness.publish_raw(&topic, "key", headers, body).await;
    }
}

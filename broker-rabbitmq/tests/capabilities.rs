//! What RabbitMQ declares is what the documentation says. The suite tests that it behaves so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Server, unique};
use recount_messaging::{Broker, Order};
use recount_testing::broker::documented;

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_says_what_is_declared() {
    let broker = Server::shared().await.broker().await;
    let text = include_str!("../../docs/capabilities.md");
    documented(text, "## In order per key", "RabbitMQ", &broker.capabilities(&unique()));
    documented(text, "## Without order", "RabbitMQ", &broker.capabilities(&unique().order(Order::Unordered)));
}

//! What Kafka declares is what the documentation says. The suite tests that it behaves so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Server, unique};
use recount_messaging::Order;
use recount_testing::broker::documented;

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_says_what_is_declared() {
    let server = Server::any().await;
    let broker = server.connect().await;
    let text = include_str!("../../docs/capabilities.md");
    documented(text, "## In order per key", "Kafka", &broker.capabilities(&unique(8)));
    documented(text, "## Without order", "Kafka", &broker.capabilities(&unique(8).order(Order::Unordered)));
}

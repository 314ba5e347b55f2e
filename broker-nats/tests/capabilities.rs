//! The declared capabilities, printed as tables. The suite tests that the brokers behave as declared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Server, unique};
use recount_messaging::{Dedupe, Order, OrderSupport, Parallelism};

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_group_has_lanes_and_an_unordered_one_has_any_number_of_members() {
    let server = Server::any().await;
    let broker = server.connect().await;
    let binding = unique(4);
    let ordered = broker.capabilities(&binding);
    let unordered = broker.capabilities(&binding.order(Order::Unordered));
    // Shown with `--nocapture`.
    println!("NATS, in order per key:\n{ordered}\n\nNATS, without order:\n{unordered}");
    assert!(matches!(ordered.order, OrderSupport::Lane { lanes, withheld: true } if lanes.get() == 4));
    assert_eq!(ordered.parallelism, Parallelism::Lanes);
    assert_eq!((unordered.order, unordered.parallelism), (OrderSupport::None, Parallelism::Unbounded));
    assert_eq!(ordered.dedupe, Dedupe::Window(std::time::Duration::from_secs(600)));
    assert!(ordered.retry.unwrap().keeps_order && !unordered.retry.unwrap().keeps_order);
}

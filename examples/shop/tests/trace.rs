//! The trace of one order, as a collector receives it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;
#[allow(dead_code, reason = "not every test needs everything")]
#[path = "../../../telemetry/tests/receiver/mod.rs"]
mod receiver;

use common::Place;
use receiver::{Received, Receiver, Span};

/// The only span of this name whose parent is the given one.
fn child<'r>(received: &'r Received, parent: &Span, name: &str) -> &'r Span {
    let found: Vec<_> = received.all(name).into_iter().filter(|span| span.is_child_of(parent)).collect();
    let [span] = found[..] else { panic!("{} spans are {name} in {received:#?}", found.len()) };
    span
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_its_payment_and_shipping_is_one_tree_and_read_models_are_linked_to_it() {
    let receiver = Receiver::start().await;
    let place = Place::new();
    place.write("one.txt", " 00010 19980601  1   10.00\n");
    let url = receiver.url();
    let output = tokio::task::spawn_blocking(move || place.run(&["--orders", "one.txt", "--otlp", &url]));
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let received = receiver.received();
    let [order] = received.named(["dispatch place_order"]);
    let paying = child(&received, order, "react payments");
    let payment = child(&received, paying, "dispatch capture_payment");
    let shipping = child(&received, payment, "react shipping");
    let shipment = child(&received, shipping, "dispatch ship_order");
    assert!(order.is_root());
    for (projection, sources) in [("sales", vec![order]), ("notifications", vec![payment, shipment])] {
        let batches = received.all(&format!("project {projection}"));
        let links: Vec<_> = batches.iter().flat_map(|batch| batch.links()).collect();
        for source in sources {
            assert!(links.contains(&source.traceparent()), "{projection} is linked to {links:?}");
        }
        assert!(batches.iter().all(|batch| batch.is_root()));
    }
}

//! The trace of one order, as a collector receives it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;
#[allow(dead_code, reason = "not every test needs everything")]
#[path = "../../../telemetry/tests/receiver/mod.rs"]
mod receiver;

use common::Place;
use receiver::{Received, Receiver, Span};

/// The names of a span and of those above it, up to the root.
fn path<'r>(received: &'r Received, span: &'r Span) -> Vec<&'r str> {
    let mut path = vec![span.name()];
    let mut span = span;
    while !span.is_root() {
        span = received.spans.iter().find(|parent| span.is_child_of(parent)).unwrap();
        path.push(span.name());
    }
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_and_its_process_are_one_tree_and_read_models_are_linked_to_it() {
    let receiver = Receiver::start().await;
    let place = Place::new();
    place.write("one.txt", " 00010 19980601  1   10.00\n");
    let url = receiver.url();
    let output = tokio::task::spawn_blocking(move || place.run(&["--orders", "one.txt", "--otlp", &url]));
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let received = receiver.received();
    let [order] = received.named(["dispatch place_order"]);
    // The process hears of the order, and sends two commands; it hears of the payment, and sends two more.
    const STEP: [&str; 3] = ["consume fulfilment/send", "dispatch input", "consume fulfilment"];
    let [reserved, paid, shipped, told] = received.named([
        "dispatch reserve_stock",
        "dispatch capture_payment",
        "dispatch ship_order",
        "dispatch tell_customer",
    ]);
    for first in [reserved, paid] {
        assert_eq!(path(&received, first), [&[first.name()][..], &STEP, &["dispatch place_order"]].concat());
    }
    for second in [shipped, told] {
        let above = path(&received, paid);
        assert_eq!(path(&received, second), [&[second.name()][..], &STEP, &above].concat());
    }
    for (projection, sources) in [("sales", vec![order, told]), ("notifications", vec![paid, told])] {
        let batches = received.all(&format!("project {projection}"));
        let links: Vec<_> = batches.iter().flat_map(|batch| batch.links()).collect();
        for source in sources {
            assert!(links.contains(&source.traceparent()), "{projection} is linked to {links:?}");
        }
        assert!(batches.iter().all(|batch| batch.is_root()));
    }
}

//! A client in another language (nats-py) reads our envelope, and publishes one that we read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Server, ensure, message, publish, take_all, unique};
use recount_messaging::{Attempts, Message};
use recount_servers::python_package;
use serde_json::Value;
use tokio::task::block_in_place;

/// Runs the Python program and returns its output.
fn python(arguments: &[&str]) -> Value {
    let packages = python_package("nats-py==2.16.0").unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client.py");
    let output = Command::new("python3").arg(program).args(arguments).env("PYTHONPATH", packages).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_reads_our_messages_and_we_read_its() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(4));
    ensure(&*broker, &binding).await;
    let mut ours = Message { schema_version: 3, ..message("order/17 ü", 1) };
    ours.subject = Some("order/17".into());
    ours.metadata.headers.insert("x-shop".to_owned(), "Zürich 100%".to_owned());
    publish(&*broker, &binding.topic, std::slice::from_ref(&ours)).await;
    let (stream, subject) =
        (format!("recount-{}", binding.topic), format!("{}.{}", binding.topic, binding.topic.lane_of("order/17 ü")));
    let read = block_in_place(|| python(&[&server.direct, &stream, &subject]));
    let header = |name: &str| read["headers"][name].as_str().unwrap_or_else(|| panic!("no {name} in {read}"));
    assert_eq!(header("ce-specversion"), "1.0");
    let identity = format!("{}/{}", ours.source, ours.id);
    assert_eq!((header("ce-id"), header("Nats-Msg-Id")), (ours.id.as_str(), identity.as_str()));
    assert_eq!((header("ce-source"), header("ce-type"), header("ce-schemaversion")), ("tests", "tests.numbered", "3"));
    assert_eq!((header("ce-partitionkey"), header("ce-subject")), ("order/17%20%C3%BC", "order/17"));
    assert_eq!((header("content-type"), header("x-shop")), ("application/json", "Z%C3%BCrich%20100%25"));
    assert_eq!(read["body"], "MQ==", "the number 1");

    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = take_all(&mut *consumer, Duration::from_secs(2)).await;
    assert_eq!(arrived.len(), 2, "its second publish of the same id is a duplicate");
    let theirs = &arrived[1];
    let message = theirs.message.as_ref().unwrap();
    assert_eq!(
        (message.id.as_str(), &*message.source, &*message.message_type),
        ("from-python-1", "python", "orders.placed")
    );
    assert_eq!(message.key.as_deref(), Some("order/17 ü"));
    assert_eq!(message.time.unwrap().to_string(), "2026-11-28T10:00:00Z");
    let headers: Vec<_> =
        message.metadata.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("tenant", "north"), ("x-shop", "Zürich")]);
    assert_eq!(&message.data[..], br#"{"total": 3}"#);
    assert_eq!((theirs.attempts, &*theirs.raw.origin), (Attempts::Exact(0), subject.as_str()));
    assert!(theirs.published_at.is_some() && theirs.position > arrived[0].position);
}

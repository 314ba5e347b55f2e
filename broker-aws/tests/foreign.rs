//! A client in another language (boto3) reads our envelope, and publishes one that we read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Kind, Server, ensure, message, publish, take_all, unique};
use recount_messaging::{Attempts, Message};
use recount_servers::python_packages;
use serde_json::{Value, json};
use tokio::task::block_in_place;

const PACKAGES: &[&str] = &[
    "boto3==1.44.8",
    "botocore==1.44.8",
    "jmespath==1.1.0",
    "python-dateutil==2.9.0.post0",
    "s3transfer==0.19.3",
    "six==1.17.0",
    "urllib3==2.8.0",
];

/// Runs the Python program and returns its output.
fn python(arguments: &[&str]) -> Value {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client.py");
    let packages = python_packages(PACKAGES).unwrap();
    let output = Command::new("python3").arg(program).args(arguments).env("PYTHONPATH", packages).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn exchange(kind: Kind) {
    let server = Server::shared(kind).await;
    let (broker, binding) = (server.connect().await, unique());
    ensure(&*broker, &binding).await;
    let mut ours = Message { schema_version: 3, ..message("order/17", 1) };
    ours.subject = Some("order/17 🦀".into());
    ours.metadata.headers.insert("x-shop".to_owned(), "Zürich 100%".to_owned());
    publish(&*broker, &binding.topic, std::slice::from_ref(&ours)).await;
    let url = server.native().queues(&binding.topic).await.remove(0);
    let queue = url.rsplit('/').next().unwrap().to_owned();
    let endpoint = server.direct.split("endpoint=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let arn = format!("arn:aws:sns:us-east-1:000000000000:recount-{}.fifo", binding.topic);
    let topic = if kind == Kind::Sns { &*arn } else { "" };
    let read = block_in_place(|| python(&[&endpoint, topic, &queue]));
    let event = json!({
        "specversion": "1.0", "id": ours.id.as_str(), "source": "tests", "type": "tests.numbered", "schemaversion": "3",
        "subject": "order/17 🦀", "partitionkey": "order/17", "datacontenttype": "application/json",
        "recountheaders": { "x-shop": "Zürich 100%" }, "data": 1,
    });
    assert_eq!(read["event"], event);
    assert_eq!((&read["group"], &read["dedupe"]), (&json!("order/17"), &json!(format!("tests/{}", ours.id))));
    assert_eq!(read["attributes"], json!({ "type": "tests.numbered", "partitionkey": "order/17" }));

    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = take_all(&mut *consumer, Duration::from_secs(2)).await;
    assert_eq!(arrived.len(), 1, "it took ours, and its second publish of the same id is a duplicate");
    let theirs = &arrived[0];
    let message = theirs.message.as_ref().unwrap();
    assert_eq!(
        (message.id.as_str(), &*message.source, &*message.message_type),
        ("from-python-1", "python", "orders.placed")
    );
    assert_eq!(message.key.as_deref(), Some("order/17"));
    assert_eq!(message.time.unwrap().to_string(), "2026-11-28T10:00:00Z");
    assert_eq!(message.metadata.headers.get("tenant").map(String::as_str), Some("north"));
    assert_eq!(&message.data[..], "{\"total\": 3, \"city\": \"Zürich\"}".as_bytes());
    assert_eq!(theirs.attempts, Attempts::Exact(0));
    assert!(theirs.published_at.is_some() && theirs.raw.origin.ends_with(&queue));
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_and_we_read_each_other_by_sns() {
    exchange(Kind::Sns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_and_we_read_each_other_by_sqs() {
    exchange(Kind::Sqs).await;
}

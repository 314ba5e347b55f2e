//! A client in another language (google-cloud-pubsub) reads our envelope, and publishes a batch that we read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::process::Command;

use common::{PROJECT, Server, ensure, fates, message, take, unique};
use recount_messaging::{Message, Settle};
use recount_servers::python_environment;
use serde_json::Value;
use tokio::task::block_in_place;

/// Runs the Python program and returns its output.
fn python(port: u16, arguments: &[&str]) -> Value {
    let packages = python_environment("google-cloud-pubsub==2.44.0").unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client.py");
    let mut command = Command::new("python3");
    command.arg(program).args(arguments).env("PYTHONPATH", packages);
    command.env("PUBSUB_EMULATOR_HOST", format!("127.0.0.1:{port}")).env("PUBSUB_PROJECT_ID", PROJECT);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_reads_our_messages_and_we_read_its() {
    let server = Server::start().await;
    let (broker, binding) = (server.connect().await, unique());
    let mut foreign = unique();
    foreign.topic = binding.topic.clone();
    ensure(&*broker, &binding).await;
    ensure(&*broker, &foreign).await;
    let mut ours = Message { schema_version: 3, ..message("order/17 ü", 1) };
    ours.subject = Some("order/17".into());
    ours.metadata.headers.insert("x-shop".to_owned(), "Zürich 100%".to_owned());
    assert!(fates(&*broker, &binding.topic, std::slice::from_ref(&ours)).await[0].is_stored());
    let topic = format!("projects/{PROJECT}/topics/recount-{}", binding.topic);
    let subscription = format!("projects/{PROJECT}/subscriptions/recount-{}.{}", foreign.topic, foreign.group);
    let port = server.with(|fake| fake.port());
    let read = block_in_place(|| python(port, &[&topic, &subscription]));
    let attribute = |name: &str| read["attributes"][name].as_str().unwrap_or_else(|| panic!("no {name} in {read}"));
    assert_eq!((attribute("ce-specversion"), attribute("ce-id")), ("1.0", ours.id.as_str()));
    assert_eq!((attribute("ce-source"), attribute("ce-type")), ("tests", "tests.numbered"));
    assert_eq!((attribute("ce-schemaversion"), attribute("ce-subject")), ("3", "order/17"));
    assert_eq!((attribute("ce-partitionkey"), attribute("x-shop")), ("order/17 ü", "Zürich 100%"));
    assert_eq!(attribute("content-type"), "application/json");
    assert_eq!((&read["ordering_key"], &read["body"]), (&"order/17 ü".into(), &"MQ==".into()));

    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < 4 {
        for delivery in take(&mut *consumer, 10).await {
            assert!(consumer.settle(vec![(delivery.ticket, Settle::Ack)]).await[0].is_done());
            arrived.push(delivery.message.unwrap());
        }
    }
    for (number, message) in arrived[1..].iter().enumerate() {
        assert_eq!(message.id.as_str(), format!("from-python-{number}"));
        assert_eq!((&*message.source, &*message.message_type), ("python", "orders.placed"));
        assert_eq!(message.key.as_deref(), Some("order/17 ü"));
        assert_eq!(message.time.unwrap().to_string(), "2026-11-28T10:00:00Z");
        let headers = &message.metadata.headers;
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers, [("tenant", "north"), ("x-shop", "Zürich")]);
        assert_eq!(&message.data[..], format!("{{\"total\": {number}}}").as_bytes());
    }
}

//! A client in another language (confluent-kafka for Python) reads our envelope, and publishes one that we read. The keys of both are
//! in the same partitions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use common::{Server, ensure, message, publish, take_all, unique};
use recount_messaging::{Attempts, Malformed, Message};
use recount_servers::python_package;
use serde_json::Value;
use tokio::task::block_in_place;

const LANES: u16 = 8;

/// Runs a Python program of this folder and returns its output.
fn python(program: &str, arguments: &[&str]) -> Vec<u8> {
    let packages = python_package("confluent-kafka==2.12.1").unwrap();
    let program = format!("{}/tests/{program}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3").arg(program).args(arguments).env("PYTHONPATH", packages).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A message of a client in C may have a header whose name is not UTF-8, at which rdkafka panics.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_unreadable_headers_is_malformed_and_the_next_one_is_delivered() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(1));
    ensure(&*broker, &binding).await;
    block_in_place(|| python("headers.py", &[server.hosts(), binding.topic.name()]));
    publish(&*broker, &binding.topic, &[message("key", 1)]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = take_all(&mut *consumer, Duration::from_secs(2)).await;
    let [unreadable, readable] = &arrived[..] else { panic!("{arrived:?}") };
    assert!(matches!(unreadable.message, Err(Malformed::Headers { .. })), "{:?}", unreadable.message);
    assert_eq!((&unreadable.raw.body[..], unreadable.raw.headers.len()), (&b"{}"[..], 0));
    assert!(readable.message.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_reads_our_messages_and_we_read_its_and_keys_have_the_same_partitions() {
    let server = Server::any().await;
    let (broker, binding) = (server.connect().await, unique(LANES));
    ensure(&*broker, &binding).await;
    let mut ours = Message { schema_version: 3, ..message("order/17 ü", 1) };
    ours.subject = Some("order/17".into());
    ours.metadata.headers.insert("x-shop".to_owned(), "Zürich 100%".to_owned());
    publish(&*broker, &binding.topic, std::slice::from_ref(&ours)).await;
    let said = block_in_place(|| python("client.py", &[server.hosts(), binding.topic.name(), &LANES.to_string()]));
    let said: Value = serde_json::from_slice(&said).unwrap();
    let read = &said["read"];
    let header = |name: &str| read["headers"][name].as_str().unwrap_or_else(|| panic!("no {name} in {read}"));
    assert_eq!((header("ce_specversion"), header("ce_id")), ("1.0", ours.id.as_str()));
    assert_eq!((header("ce_source"), header("ce_type"), header("ce_schemaversion")), ("tests", "tests.numbered", "3"));
    assert_eq!((header("ce_partitionkey"), header("ce_subject")), ("order/17 ü", "order/17"));
    assert_eq!((header("content-type"), header("x-shop")), ("application/json", "Zürich 100%"));
    assert_eq!((&read["body"], &read["key"]), (&"MQ==".into(), &"order/17 ü".into()));

    let keys: HashMap<String, i32> = serde_json::from_value(said["partitions"].clone()).unwrap();
    assert_eq!(keys.len(), 500);
    let again: Vec<Message> = keys.keys().map(|key| message(key, 2)).collect();
    publish(&*broker, &binding.topic, &again).await;

    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let arrived = take_all(&mut *consumer, Duration::from_secs(2)).await;
    assert_eq!(arrived.len(), 2 + 500 + 500);
    let theirs = arrived.iter().find(|one| one.message.as_ref().is_ok_and(|one| one.id.as_str() == "from-python-1"));
    let (theirs, mine) = (theirs.unwrap(), arrived.iter().find(|one| one.message.as_ref().is_ok_and(|m| *m == ours)));
    assert_eq!(theirs.lane(), mine.unwrap().lane());
    let message = theirs.message.as_ref().unwrap();
    assert_eq!((&*message.source, &*message.message_type), ("python", "orders.placed"));
    assert_eq!(message.key.as_deref(), Some("order/17 ü"), "the key of the record");
    assert_eq!(message.time.unwrap().to_string(), "2026-11-28T10:00:00Z");
    let headers: Vec<_> =
        message.metadata.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("tenant", "north"), ("x-shop", "Zürich")]);
    assert_eq!(&message.data[..], br#"{"total": 3}"#);
    assert_eq!((theirs.attempts, &*theirs.raw.origin), (Attempts::Unknown, binding.topic.name()));
    assert!(theirs.published_at.is_some() && theirs.position > mine.unwrap().position);
    let ours = arrived.iter().filter_map(|delivery| Some((delivery, delivery.message.as_ref().ok()?.key.as_deref()?)));
    let wrong: Vec<_> = ours
        .filter_map(|(delivery, key)| Some((key, delivery.lane().0, *keys.get(key)?)))
        .filter(|(_, lane, partition)| i64::from(*lane) != i64::from(*partition))
        .collect();
    assert!(wrong.is_empty(), "{} of 500 keys are elsewhere: {wrong:?}", wrong.len());
}

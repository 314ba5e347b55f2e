//! The envelope is read and written by the usual client of another language, in batches too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::process::Command;

use common::{Server, ensure, message, publish, single, take, unique};
use recount_messaging::{Binding, Broker, Message, MessageId, Settle};
use recount_servers::python_package;
use serde_json::{Value, json};

/// Runs a program in Python with the client.
async fn python(program: &'static str, arguments: Vec<String>) -> String {
    let run = move || {
        let packages =
            ["pulsar-client==3.13.0", "certifi==2026.10.19.post1"].map(|package| python_package(package).unwrap());
        let path = std::env::join_paths(packages).unwrap();
        Command::new("python3").env("PYTHONPATH", path).args(["-c", program]).args(arguments).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    // The library logs to the same place.
    output.lines().filter(|line| line.starts_with('{')).collect()
}

const READER: &str = r#"
import json, pulsar, sys
client = pulsar.Client(sys.argv[1])
consumer = client.subscribe(sys.argv[2], "python", consumer_type=pulsar.ConsumerType.Failover,
    initial_position=pulsar.InitialPosition.Earliest)
message = consumer.receive(30000)
print(json.dumps({"properties": message.properties(), "key": message.partition_key(), "body": message.data().decode(),
    "event_time": message.event_timestamp()}))
consumer.acknowledge(message)
client.close()
"#;

const WRITER: &str = r#"
import pulsar, sys
service, topic, lanes, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
hash = 0x811c9dc5
for byte in "order/17".encode():
    hash = (hash ^ byte) * 0x01000193 % 2**32
client = pulsar.Client(service)
producer = client.create_producer(f"{topic}-partition-{hash % lanes}", batching_enabled=count > 1,
    batching_max_messages=max(count, 2), batching_max_publish_delay_ms=10000)
for number in range(count):
    producer.send_async(b'{"total": %d}' % number, lambda result, id: None, partition_key="order/17", properties={
        "content-type": "application/json", "ce_specversion": "1.0", "ce_id": f"py-{number}", "ce_source": "shop/python",
        "ce_type": "orders.placed", "ce_schemaversion": "2", "ce_partitionkey": "order/17",
        "ce_subject": "z\u00fcrich \U0001f980", "ce_time": "2026-11-28T10:00:00Z", "x-tenant": "acme"})
producer.flush()
client.close()
"#;

fn topic(binding: &Binding) -> String {
    format!("persistent://public/default/{}", binding.topic)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_reads_the_envelope() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, single());
    ensure(&broker, &binding).await;
    let mut sent = message("order/17 🦀", 1);
    sent.message_type = "tests.sent".into();
    sent.time = Some("2026-11-28T10:00:00.5Z".parse().unwrap());
    sent.metadata.correlation_id = Some("conversation".into());
    sent.metadata.headers.insert("x-tenant".to_owned(), "zürich".to_owned());
    assert!(publish(&broker, &binding.topic, std::slice::from_ref(&sent)).await[0].is_stored());
    let read = python(READER, vec![server.service().to_owned(), topic(&binding)]).await;
    let expected = json!({
        "properties": {
            "content-type": "application/json", "ce_specversion": "1.0", "ce_id": sent.id.as_str(), "ce_source": "tests",
            "ce_type": "tests.sent", "ce_schemaversion": "1", "ce_partitionkey": "order/17 🦀",
            "ce_time": "2026-11-28T10:00:00.5Z", "ce_correlationid": "conversation", "x-tenant": "zürich",
        },
        "key": "order/17 🦀", "body": "1", "event_time": 1_795_860_000_500_u64,
    });
    assert_eq!(serde_json::from_str::<Value>(&read).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_client_in_python_are_read_one_by_one_and_in_batches() {
    let server = Server::shared().await;
    for count in [1, 25] {
        let (broker, binding) = (server.broker().await, unique());
        ensure(&broker, &binding).await;
        let arguments = [server.service(), &topic(&binding), &binding.topic.lanes().to_string(), &count.to_string()];
        python(WRITER, arguments.map(str::to_owned).to_vec()).await;
        let mut consumer = broker.subscribe(&binding).await.unwrap();
        let deliveries = take(&mut consumer, count).await;
        let entries: std::collections::BTreeSet<_> = deliveries.iter().map(|delivery| delivery.position).collect();
        assert_eq!(entries.len(), 1, "one entry");
        for (number, delivery) in deliveries.into_iter().enumerate() {
            let id = MessageId::new(format!("py-{number}")).unwrap();
            let data = format!(r#"{{"total": {number}}}"#);
            let mut expected = Message::new(id, "shop/python", "orders.placed", data).with_key("order/17");
            expected.schema_version = 2;
            expected.subject = Some("zürich 🦀".into());
            expected.time = Some("2026-11-28T10:00:00Z".parse().unwrap());
            expected.metadata.headers.insert("x-tenant".to_owned(), "acme".to_owned());
            assert_eq!(delivery.lane().0, u32::from(binding.topic.lane_of("order/17")));
            assert_eq!(delivery.message.unwrap(), expected);
            assert!(consumer.settle(vec![(delivery.ticket, Settle::Ack)]).await[0].is_done());
        }
    }
}

//! The envelope is read and written by the usual client of another language.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::Command;

use common::{Server, ensure, message, publish, take, unique};
use recount_messaging::{Broker, Message, MessageId};
use serde_json::{Value, json};

const PACKAGE: &str = "pika==1.3.2";

/// The directory with the package, which stays beside the build.
fn package() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(PACKAGE.replace("==", "-"));
    if directory.is_dir() {
        return directory;
    }
    // First elsewhere: what has the name is whole.
    let new = directory.with_extension(format!("new-{}", std::process::id()));
    let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target"];
    let status = Command::new("python3").args(install).arg(&new).arg(PACKAGE).status().unwrap();
    assert!(status.success(), "python3 with pip is needed for {PACKAGE}");
    // Another test may have been first.
    let _ = std::fs::rename(&new, &directory);
    directory
}

/// Runs a program in Python with the package.
async fn python(program: &'static str, arguments: Vec<String>) -> String {
    let run = move || {
        Command::new("python3").env("PYTHONPATH", package()).args(["-c", program]).args(arguments).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const READER: &str = r#"
import json, pika, sys
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
_, properties, body = next(channel.consume(sys.argv[2], auto_ack=True))
print(json.dumps({"headers": properties.headers, "content_type": properties.content_type, "id": properties.message_id,
    "correlation": properties.correlation_id, "timestamp": properties.timestamp, "mode": properties.delivery_mode,
    "body": body.decode()}))
"#;

const WRITER: &str = r#"
import pika, sys
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
channel.confirm_delivery()
hash = 0x811c9dc5
for byte in "order/17".encode():
    hash = (hash ^ byte) * 0x01000193 % 2**32
channel.basic_publish(sys.argv[2], str(hash % int(sys.argv[3])), b'{"total": 12}', pika.BasicProperties(
    content_type="application/json", delivery_mode=2, headers={
        "cloudEvents:specversion": "1.0", "cloudEvents:id": "py-1", "cloudEvents:source": "shop/python",
        "cloudEvents:type": "orders.placed", "cloudEvents:schemaversion": 2, "cloudEvents:partitionkey": "order/17",
        "cloudEvents:subject": "z\u00fcrich \U0001f980", "cloudEvents:time": "2026-11-28T10:00:00Z", "x-tenant": "acme"}),
    mandatory=True)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_reads_the_envelope() {
    let server = Server::shared().await;
    let (broker, mut binding) = (server.broker().await, unique());
    binding.topic = binding.topic.with_lanes(NonZeroU16::MIN);
    ensure(&broker, &binding).await;
    let mut sent = message("order/17 🦀", 1);
    sent.message_type = "tests.sent".into();
    sent.time = Some("2026-11-28T10:00:00.5Z".parse().unwrap());
    sent.metadata.correlation_id = Some("conversation".into());
    sent.metadata.headers.insert("x-tenant".to_owned(), "zürich".to_owned());
    assert!(publish(&broker, &binding.topic, std::slice::from_ref(&sent)).await[0].is_stored());
    let queue = format!("recount.{}.{}.0", binding.topic, binding.group);
    let read = python(READER, vec![server.url().to_owned(), queue]).await;
    let expected = json!({
        "headers": {
            "cloudEvents:specversion": "1.0", "cloudEvents:id": sent.id.as_str(), "cloudEvents:source": "tests",
            "cloudEvents:type": "tests.sent", "cloudEvents:schemaversion": "1", "cloudEvents:partitionkey": "order/17 🦀",
            "cloudEvents:time": "2026-11-28T10:00:00.5Z", "cloudEvents:correlationid": "conversation",
            "x-tenant": "zürich",
        },
        "content_type": "application/json", "id": sent.id.as_str(), "correlation": "conversation",
        "timestamp": 1_795_860_000, "mode": 2, "body": "1",
    });
    assert_eq!(serde_json::from_str::<Value>(&read).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_client_in_python_is_read() {
    let server = Server::shared().await;
    let (broker, binding) = (server.broker().await, unique());
    ensure(&broker, &binding).await;
    let exchange = format!("recount.{}", binding.topic);
    python(WRITER, vec![server.url().to_owned(), exchange, binding.topic.lanes().to_string()]).await;
    let mut consumer = broker.subscribe(&binding).await.unwrap();
    let delivery = take(&mut *consumer, 1).await.remove(0);
    let mut expected =
        Message::new(MessageId::new("py-1").unwrap(), "shop/python", "orders.placed", r#"{"total": 12}"#)
            .with_key("order/17");
    expected.schema_version = 2;
    expected.subject = Some("zürich 🦀".into());
    expected.time = Some("2026-11-28T10:00:00Z".parse().unwrap());
    expected.metadata.headers.insert("x-tenant".to_owned(), "acme".to_owned());
    assert_eq!(delivery.lane().0, u32::from(binding.topic.lane_of("order/17")));
    assert_eq!(delivery.message.unwrap(), expected);
}

//! The examples of a sink and a source outside of recount keep what consumers promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#![allow(unreachable_pub, reason = "the examples are programs of their own")]

#[path = "../examples/json_lines.rs"]
mod json_lines;
#[path = "../examples/queue.rs"]
mod queue;

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use json_lines::JsonLines;
use queue::{Message, Queue};
use recount::memory::MemoryStore;
use recount::{
    Append, BoxError, EventData, EventType, ExpectedVersion, Namespace, Position, Query, Recount, Sink, Status,
    StreamId,
};

async fn append(recount: &Recount, stream: &str, count: usize) -> Position {
    let event = || EventData::new(EventType::new("noted").unwrap(), r#"{"n":1}"#);
    let events = (0..count).map(|_| event()).collect();
    let append = Append::to(StreamId::new("note", stream).unwrap(), ExpectedVersion::Any, events);
    recount.store().append(append).await.unwrap().position
}

fn positions(file: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(file).unwrap();
    let position = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["position"].as_u64().unwrap();
    text.lines().map(position).collect()
}

/// Exports everything up to this position, and stops.
async fn export(recount: &Recount, file: &Path, to: Position) {
    let sink = JsonLines::open(file).unwrap();
    let running = recount.consumers().consumer("export", recount.source("export", Query::all()), sink).start();
    running.wait_for(to).await.unwrap();
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_json_lines_has_every_event_once_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.jsonl");
    let recount = Recount::new(MemoryStore::new());
    for stream in ["a", "b", "a"] {
        append(&recount, stream, 50).await;
    }
    export(&recount, &file, Position::new(150)).await;
    let last = append(&recount, "b", 50).await;
    export(&recount, &file, last).await;
    assert_eq!(positions(&file), (1..=200).collect::<Vec<_>>());
    // A crash loses the checkpoint, and leaves half a line.
    let key = Namespace::CONSUMER.key("sink/export").unwrap();
    assert!(recount.store().get(&key).await.unwrap().is_some());
    recount.store().delete(&key, recount::ExpectedRevision::Any).await.unwrap();
    std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"position\":").unwrap();
    let last = append(&recount, "c", 50).await;
    export(&recount, &file, last).await;
    assert_eq!(positions(&file), (1..=250).collect::<Vec<_>>());
}

/// Keeps the bodies of the messages; the first attempt of `flaky` fails, and `bad` always does.
#[derive(Clone, Default)]
struct Bodies(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<String>>>);

impl Sink for Bodies {
    type Item = Message;

    async fn take(&self, message: &Message) -> Result<(), BoxError> {
        tokio::task::yield_now().await;
        let first = {
            let mut tried = self.1.lock().unwrap();
            tried.push(message.body.clone());
            tried.iter().filter(|body| **body == message.body).count() == 1
        };
        if message.body == "bad" || message.body == "flaky" && first {
            return Err("not this one".into());
        }
        self.0.lock().unwrap().push(message.body.clone());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_queue_are_handled_in_the_order_of_their_key_and_acknowledged() {
    let (queue, bodies) = (Queue::default(), Bodies::default());
    let recount = Recount::new(MemoryStore::new());
    for (key, body) in [("x", "flaky"), ("y", "1"), ("x", "2"), ("y", "3")] {
        queue.send(key, body);
    }
    let running = recount.consumers().consumer("orders", queue.clone(), bodies.clone()).start();
    let settled = async {
        while queue.open_messages() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.expect("all are acknowledged");
    let heard = bodies.0.lock().unwrap().clone();
    let of = |wanted: [&str; 2]| heard.iter().filter(|body| wanted.contains(&&***body)).cloned().collect::<Vec<_>>();
    assert_eq!(
        (heard.len(), of(["flaky", "2"]), of(["1", "3"])),
        (4, vec!["flaky".into(), "2".into()], vec!["1".into(), "3".into()])
    );
    assert_eq!(running.progress()[0].status, Status::Live);
    // A message that fails for good is not acknowledged, and stops the consumer; started again, it comes again.
    queue.send("x", "bad");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(running.progress()[0].is_over());
    assert_eq!(queue.open_messages(), 1);
    let running = recount.consumers().consumer("orders", queue.clone(), bodies.clone()).start();
    queue.send("y", "4");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(matches!(running.progress()[0].status, Status::Retrying { .. }));
    assert!(bodies.0.lock().unwrap().contains(&"4".to_owned()));
    assert_eq!(queue.open_messages(), 1);
    running.shutdown().await;
}

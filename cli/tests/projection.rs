//! `recount projection` as a user runs it.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that panics has failed")]

mod common;

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use common::{json_of, out};
use recount::sqlite::{SqliteReadModel, SqliteStore};
use recount::{
    Append, BoxError, Consumers, Event, EventStore, ExpectedVersion, Projection, RecordedEvent, Recount, StreamId,
};
use serde_json::json;
use tempfile::TempDir;

#[derive(Event)]
#[event(name = "sale")]
enum SaleEvent {
    Made {},
}

/// Counts nothing: only its checkpoint matters here.
struct Sales;

impl Projection for Sales {
    type Event = SaleEvent;
    type ReadModel = SqliteReadModel;

    fn name(&self) -> &str {
        "sales"
    }

    async fn reset(&self, _: &mut sqlx::SqliteConnection) -> Result<(), BoxError> {
        Ok(())
    }

    async fn on(&self, _: &SaleEvent, _: &RecordedEvent, _: &mut sqlx::SqliteConnection) -> Result<(), BoxError> {
        Ok(())
    }
}

async fn append(store: &SqliteStore, count: usize) -> recount::Position {
    let events = (0..count).map(|_| SaleEvent::Made {}.encode().unwrap()).collect();
    let to = StreamId::new("sale", "1").unwrap();
    store.append(Append::to(to, ExpectedVersion::Any, events)).await.unwrap().position
}

/// A store with three events of which a projection has handled two.
async fn place() -> (TempDir, SqliteStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("shop.db")).await.unwrap();
    let two = append(&store, 2).await;
    let running = start(&store);
    running.wait_for(two).await.unwrap();
    running.shutdown().await;
    append(&store, 1).await;
    (directory, store)
}

fn start(store: &SqliteStore) -> Consumers {
    Recount::new(store.clone()).consumers().projection(Sales, store.read_model()).start()
}

async fn recount(directory: &Path, arguments: &[&str]) -> Output {
    common::recount(directory, &[&["projection"], arguments].concat()).await
}

const STORE: [&str; 2] = ["--store", "sqlite://shop.db"];

#[tokio::test(flavor = "multi_thread")]
async fn ls_shows_a_line_for_each_projection() {
    let (directory, store) = place().await;
    let said = recount(directory.path(), &[&["ls"], &STORE[..]].concat()).await;
    let table = "PROJECTION  POSITION  LAG  STATE\nsales              2    1  behind\n";
    assert_eq!(out(&said), (Some(0), table.to_owned(), String::new()));
    let said = json_of(&recount(directory.path(), &[&["ls", "--json"], &STORE[..]].concat()).await);
    assert_eq!((&said["v"], &said["head"], &said["projections"][0]["lag"]), (&json!(1), &json!(3), &json!(1)));
    assert_eq!(said["projections"][0]["store"], json!(store.identity().to_string()));
    let running = start(&store);
    running.wait_for(store.head().await.unwrap()).await.unwrap();
    running.shutdown().await;
    let said = recount(directory.path(), &[&["ls"], &STORE[..]].concat()).await;
    assert_eq!(out(&said).1, "PROJECTION  POSITION  LAG  STATE\nsales              3    0  up to date\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn show_says_everything_about_one() {
    let (directory, store) = place().await;
    let said = recount(directory.path(), &[&["show", "sales"], &STORE[..]].concat()).await;
    let (code, text, _) = out(&said);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        (code, &lines[..4]),
        (Some(0), &["projection  sales", "position    2", "lag         1", "state       behind"][..])
    );
    assert_eq!(lines[4], format!("store       {}", store.identity()));
    assert_eq!(lines[6], r#"selects     ["sale.made"]"#);
    let said = json_of(&recount(directory.path(), &[&["show", "sales", "--json"], &STORE[..]].concat()).await);
    let mut keys: Vec<_> = said["projection"].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["event", "lag", "name", "position", "selects", "state", "store"]);
    let said = out(&recount(directory.path(), &[&["show", "sale"], &STORE[..]].concat()).await);
    let error = "recount: the read model has no projection \"sale\": `recount projection ls` lists its projections\n";
    assert_eq!(said, (Some(1), String::new(), error.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_orders_and_waits() {
    let (directory, store) = place().await;
    let said = recount(directory.path(), &[&["rebuild", "sales"], &STORE[..]].concat()).await;
    let text = "projection sales starts over when its runner notices: within seconds, or at its next start\n";
    assert_eq!(out(&said), (Some(0), text.to_owned(), String::new()));
    let said = recount(directory.path(), &[&["ls"], &STORE[..]].concat()).await;
    assert!(out(&said).1.contains("sales              2    1  rebuild ordered"), "{:?}", out(&said));
    // Without a runner the wait ends.
    let said = out(&recount(directory.path(), &[&["rebuild", "sales", "--wait", "0"], &STORE[..]].concat()).await);
    let error = "recount: projection sales is not where it was after 0 s: the order stays, start its application\n";
    assert_eq!(said, (Some(1), String::new(), error.to_owned()));
    let running = start(&store);
    let said = recount(directory.path(), &[&["rebuild", "sales", "--wait", "30", "--json"], &STORE[..]].concat()).await;
    let said = json_of(&said);
    assert_eq!((&said["v"], &said["name"], &said["rebuild"]), (&json!(1), &json!("sales"), &json!("done")));
    running.wait_for(store.head().await.unwrap()).await.unwrap();
    // Two events before the first order and three after it, at least.
    assert!(running.progress()[0].events >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_may_have_a_file_of_its_own() {
    let (directory, store) = place().await;
    let model = SqliteReadModel::open(directory.path().join("model.db")).await.unwrap();
    let running = Recount::new(store.clone()).consumers().projection(Arc::new(Sales), model).start();
    running.wait_for(store.head().await.unwrap()).await.unwrap();
    running.shutdown().await;
    let arguments = [&["ls", "--read-model", "sqlite://model.db"], &STORE[..]].concat();
    let said = recount(directory.path(), &arguments).await;
    assert_eq!(out(&said).1, "PROJECTION  POSITION  LAG  STATE\nsales              3    0  up to date\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_with_its_cure_and_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    for (url, error) in [
        ("sqlite://none.db", "recount: there is no file none.db: write the path of a file that exists\n"),
        (
            "memory://",
            "recount: a store in memory can't be reached from another process: use sqlite://FILE or postgres://HOST/DATABASE\n",
        ),
    ] {
        let said = out(&recount(directory.path(), &["ls", "--store", url]).await);
        assert_eq!(said, (Some(2), String::new(), error.to_owned()));
    }
    assert!(!directory.path().join("none.db").exists());
    let secret = "postgres://app:s3cret@127.0.0.1:1/shop?application_name=s3cret";
    for url in [secret, "mysql://app:s3cret@db/shop"] {
        let (code, _, error) = out(&recount(directory.path(), &["ls", "--store", url]).await);
        assert!(code == Some(2) && error.starts_with("recount: ") && !error.contains("s3cret"), "{error}");
    }
}

//! `recount dead-letter` as a user runs it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that panics has failed")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{json_of, out};
use recount::messaging::{
    Binding, Broker, Group, InProcess, Incoming, Message, MessageHandler, MessageId, Outgoing, PermanentError, Service,
    Subscriber, Topic,
};
use recount::sqlite::SqliteStore;
use recount::{BoxError, Commands, Consumers, Event, Recount};
use tempfile::TempDir;

#[derive(Event, Clone)]
#[event(name = "parcels", published, unlocked)]
enum ParcelMessage {
    Weighed { grams: i64 },
}

/// Takes weights, but no negative ones.
#[derive(Clone, Default)]
struct Scale(Arc<Mutex<Vec<i64>>>);

impl MessageHandler for Scale {
    type Message = ParcelMessage;

    async fn handle(
        &self,
        ParcelMessage::Weighed { grams }: &ParcelMessage,
        _: &Incoming<'_>,
    ) -> Result<Commands, BoxError> {
        if *grams < 0 {
            return Err(PermanentError::new("a weight is not negative").into());
        }
        self.0.lock().unwrap().push(*grams);
        Ok(Commands::none())
    }
}

fn topic() -> Topic {
    Topic::new("parcels").unwrap()
}

async fn start(directory: &TempDir, broker: &InProcess, scale: &Scale) -> (Recount, Consumers) {
    let recount = Recount::new(SqliteStore::open(directory.path().join("store.db")).await.unwrap());
    let subscriber =
        Subscriber::new(Binding::new(topic(), Group::new("scale").unwrap())).handle(scale.clone()).unwrap();
    let service = Service::new(recount.clone(), Arc::new(broker.connect()), "scale").unwrap();
    (recount, service.subscribe(subscriber).start())
}

async fn publish(broker: &InProcess, key: &str, weights: &[i64]) {
    for grams in weights {
        let id = MessageId::new(format!("{key}{grams}")).unwrap();
        let data = format!(r#"{{"grams":{grams}}}"#);
        let message = Message::new(id, "depot", "parcels.weighed", data).with_key(key);
        let fates = broker.publish(&topic(), vec![Outgoing::new(message)]).await;
        assert!(fates[0].is_stored(), "{fates:?}");
    }
}

async fn until(what: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if what().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come to pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_edited_discarded_and_redriven() {
    let (directory, broker, scale) = (TempDir::new().unwrap(), InProcess::new(), Scale::default());
    let (recount, running) = start(&directory, &broker, &scale).await;
    until(async || broker.publish(&topic(), Vec::new()).await.is_empty() && recount.health().await.status.is_ready())
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    publish(&broker, "a", &[-1, 2]).await;
    publish(&broker, "b", &[-3]).await;
    let run = async |arguments: &[&str]| {
        let arguments = [&["dead-letter"], arguments, &["--store", "sqlite://store.db"]].concat();
        common::recount(directory.path(), &arguments).await
    };
    let letters = async || json_of(&run(&["ls", "--json"]).await)["letters"].as_array().unwrap().clone();
    until(async || letters().await.len() == 3).await;

    let list = letters().await;
    let find = |message: &str| list.iter().find(|letter| letter["message"] == message).unwrap().clone();
    let (a, behind, b) = (find("a-1"), find("a2"), find("b-3"));
    assert_eq!((&a["state"], &behind["state"], &a["attempts"]), (&"dead".into(), &"queued".into(), &1.into()));
    let (status, text, _) = out(&run(&["ls", "--dead"]).await);
    assert!(status == Some(0) && text.contains("a weight is not negative") && !text.contains("behind"), "{text}");
    let groups = json_of(&run(&["ls", "--dead", "--group", "--json"]).await);
    assert_eq!((&groups["groups"][0]["count"], &groups["groups"][0]["consumer"]), (&2.into(), &"scale/parcels".into()));

    let id = |letter: &serde_json::Value| letter["id"].as_str().unwrap().to_owned();
    let shown = json_of(&run(&["show", &id(&a), "--json"]).await);
    assert_eq!((&shown["content"]["data"]["grams"], &shown["content"]["partitionkey"]), (&(-1).into(), &"a".into()));
    let (status, _, error) = out(&run(&["discard", &id(&behind), "--note", "x"]).await);
    assert!(status == Some(1) && error.contains("waits behind"), "{error}");
    let (status, _, error) = out(&run(&["show", "nonsense"]).await);
    assert!(status == Some(2) && error.contains("CONSUMER/HASH/NUMBER"), "{error}");

    std::fs::write(directory.path().join("data.json"), r#"{"grams":1}"#).unwrap();
    json_of(&run(&["edit", &id(&a), "--data", "data.json", "--note", "a typo", "--json"]).await);
    until(async || *scale.0.lock().unwrap() == [1, 2]).await;
    assert_eq!(json_of(&run(&["redrive", "--json"]).await)["redriven"], 1);
    until(async || !letters().await[0]["attempts"].is_null() && letters().await[0]["state"] == "dead").await;
    json_of(&run(&["discard", &id(&b), "--note", "lost in the mail", "--json"]).await);
    until(async || letters().await.is_empty()).await;
    running.shutdown().await;
    recount.close().await;
}

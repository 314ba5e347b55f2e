//! `recount process` as a user runs it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that panics has failed")]

mod common;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use common::{json_of, out};
use recount::sqlite::SqliteStore;
use recount::{
    Aggregate, Apply, Command as _, Event, Handle, InstanceState, Moment, Process, Recount, Route, StartAt, Step, Timer,
};
use serde_json::json;
use tempfile::TempDir;

#[derive(Event, Clone)]
#[event(name = "parcel", unlocked)]
enum ParcelEvent {
    Ordered { parcel: u64 },
    Packed {},
}

#[derive(recount::Command, Clone)]
#[command(aggregate = Parcel)]
struct Order {
    #[command(id)]
    parcel: u64,
}

#[derive(recount::Command, Clone)]
#[command(aggregate = Parcel)]
struct Pack {
    #[command(id)]
    parcel: u64,
}

#[derive(recount::Command, Clone)]
#[command(aggregate = Parcel)]
struct Unpack {
    #[command(id)]
    parcel: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("it is glued")]
struct Glued;

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "parcel", id = u64, event = ParcelEvent, error = Glued, commands(Order, Pack, Unpack))]
struct Parcel;

impl Apply for Parcel {
    fn apply(&mut self, _: &ParcelEvent) {}
}

impl Handle<Order> for Parcel {
    fn handle(&self, order: Order) -> Result<Vec<ParcelEvent>, Glued> {
        Ok(vec![ParcelEvent::Ordered { parcel: order.parcel }])
    }
}

impl Handle<Pack> for Parcel {
    fn handle(&self, _: Pack) -> Result<Vec<ParcelEvent>, Glued> {
        Ok(vec![ParcelEvent::Packed {}])
    }
}

impl Handle<Unpack> for Parcel {
    fn handle(&self, _: Unpack) -> Result<Vec<ParcelEvent>, Glued> {
        Err(Glued)
    }
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = u64)]
enum Input {
    #[event(only(Ordered))]
    #[route(start(Ordered), by = parcel)]
    Parcel(ParcelEvent),
}

#[derive(Event, Clone)]
#[event(name = "delivery", unlocked)]
enum Fact {
    Started {},
}

#[derive(Timer, Clone)]
enum DeliveryTimer {
    Due,
    GiveUp,
}

/// Parcel 1 waits for a timer, 2 panics, 3 can't be undone.
#[derive(Process, Clone, Default)]
#[process(name = "delivery", id = u64, input = Input, fact = Fact, timer = DeliveryTimer, commands(Pack, Unpack))]
struct Delivery;

impl Process for Delivery {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
        let Input::Parcel(ParcelEvent::Ordered { parcel }) = input else { return Step::unexpected() };
        let parcel = *parcel;
        assert!(parcel != 2, "parcel 2 is cursed");
        let step = Step::new().fact(Fact::Started {}).run(Pack { parcel }, Unpack { parcel });
        match parcel {
            3 => step.timer(DeliveryTimer::GiveUp, at.time()),
            _ => step.timer(DeliveryTimer::Due, at.after(Duration::from_secs(3600))),
        }
    }

    fn due(&self, timer: &DeliveryTimer, _: &Moment) -> Step<Self> {
        match timer {
            DeliveryTimer::Due => Step::new().end(),
            DeliveryTimer::GiveUp => Step::new().compensate(),
        }
    }
}

/// A store where one instance waits, one is parked, and one is stuck.
async fn place() -> (TempDir, SqliteStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("shop.db")).await.unwrap();
    let recount = Recount::new(store.clone());
    let running = recount.consumers().process::<Delivery>(StartAt::Beginning).start();
    let processes = recount.processes();
    assert_eq!(Order::NAME, "order");
    // One after the other: they are listed in the order of their starts, and inputs of several start in any order.
    for (parcel, state) in [(1, InstanceState::Waiting), (2, InstanceState::Parked), (3, InstanceState::Stuck)] {
        let _ = recount.dispatch(Order { parcel }).await.unwrap();
        let (id, mut looks) = (parcel.to_string(), 0);
        while processes.instance("delivery", &id).await.unwrap().is_none_or(|instance| instance.state != state) {
            looks += 1;
            assert!(looks < 3000, "{id} is not {state}: {:?}", processes.instance("delivery", &id).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    running.shutdown().await;
    (directory, store)
}

async fn recount(directory: &Path, arguments: &[&str]) -> Output {
    common::recount(directory, &[&["process"], arguments, &["--store", "sqlite://shop.db"]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_listed_shown_redriven_and_resolved() {
    let (directory, store) = place().await;
    let place = directory.path();

    let said = out(&recount(place, &["ls"]).await);
    let table = "PROCESS   RUNNING  WAITING  COMPENSATING  STUCK  PARKED  HELD  ENDED  COMPENSATED\n\
                 delivery        0        1             0      1       1     0      0            0\n";
    assert_eq!(said, (Some(0), table.to_owned(), String::new()));

    let said = out(&recount(place, &["ls", "delivery", "--state", "parked"]).await);
    let lines: Vec<_> = said.1.lines().collect();
    assert_eq!(lines[0], "INSTANCE  STATE   VERSION  WAITS FOR");
    assert_eq!(lines[1], "       2  parked        1  an operator: the process panicked: parcel 2 is cursed");
    let said = json_of(&recount(place, &["ls", "delivery", "--limit", "1", "--json"]).await);
    assert_eq!((&said["found"], said["instances"].as_array().unwrap().len()), (&json!(3), 1));
    assert_eq!((&said["instances"][0]["id"], &said["instances"][0]["state"]), (&json!("1"), &json!("waiting")));

    let said = out(&recount(place, &["timers", "delivery"]).await);
    assert!(said.1.contains("  1  due\n") || said.1.contains("1  due\n"), "{said:?}");
    let said = json_of(&recount(place, &["timers", "delivery", "--rebuild", "--json"]).await);
    assert_eq!(said["timers"].as_array().unwrap().len(), 1);

    let said = out(&recount(place, &["show", "delivery", "3"]).await);
    for line in [
        "delivery/3 is stuck, waits for an operator: it is glued",
        "command  2/0 parcel.pack: took effect, undo parcel.unpack",
        "then     compensate",
    ] {
        assert!(said.1.contains(line), "{line}\n{}", said.1);
    }
    let said = json_of(&recount(place, &["show", "delivery", "3", "--json"]).await);
    let kinds: Vec<_> =
        said["timeline"].as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["step", "step", "refused"]);

    let said = json_of(&recount(place, &["redrive", "delivery", "--by", "ada", "--json"]).await);
    assert_eq!(said["redriven"], json!(["2", "3"]));
    let said = out(&recount(place, &["resolve", "delivery", "1", "2/0", "--note", "x"]).await);
    assert_eq!(
        (said.0, said.2.as_str()),
        (Some(1), "recount: instance delivery/1 is waiting: there is nothing to redrive or resolve\n")
    );

    // The undo is refused again; then an operator unpacks by hand.
    let application = Recount::new(store.clone());
    let running = application.consumers().process::<Delivery>(StartAt::Beginning).start();
    let mut looks = 0;
    loop {
        let said = out(&recount(place, &["resolve", "delivery", "3", "2/0", "--note", "unpacked by hand"]).await);
        if said.0 == Some(0) {
            assert_eq!(said.1, "request 2/0 of delivery/3 is resolved\n");
            break;
        }
        looks += 1;
        assert!(looks < 600, "{said:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let compensated = async || application.processes().summary("delivery").await.unwrap().compensated == 1;
    while !compensated().await {
        looks += 1;
        assert!(looks < 2000, "the compensation does not go on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_are_said_with_the_known_ones() {
    let (directory, _store) = place().await;
    let place = directory.path();
    let said = out(&recount(place, &["ls", "deliveries"]).await);
    let error = "recount: the store has no process \"deliveries\"; its processes: delivery\n";
    assert_eq!(said, (Some(1), String::new(), error.to_owned()));
    let said = out(&recount(place, &["show", "delivery", "9"]).await);
    let error = "recount: process delivery has no instance \"9\": `recount process ls delivery` lists its instances\n";
    assert_eq!(said, (Some(1), String::new(), error.to_owned()));
    let (code, _, error) = out(&recount(place, &["ls", "delivery", "--state", "dead"]).await);
    assert!(code == Some(2) && error.contains("\"dead\" is no state of an instance: held, running"), "{error}");
    let (code, _, error) = out(&recount(place, &["resolve", "delivery", "3", "0", "--note", "x"]).await);
    assert!(code == Some(2) && error.contains("write STEP/INDEX, such as 3/0"), "{error}");
}

//! An upcaster that fails is a failure of its event, wherever it is read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{
    Aggregate, Append, Apply, Command, EventData, EventStore, EventType, ExpectedVersion, Fold, Handle, Id, InMemory,
    Position, RecordedEvent, Recount, RetryBudget, Status, StreamId,
};
use recount_store_memory::MemoryStore;

#[derive(Id, Clone, Debug, PartialEq, Eq, Hash)]
struct TillId(String);

#[derive(recount_core::Event, Clone, Debug, PartialEq)]
#[event(name = "till")]
enum TillEvent {
    #[event(version = 2, upcast(paid_v1))]
    Paid { cents: u32 },
    #[event(version = 2, upcast(counted_v1))]
    Counted { cents: u32 },
}

fn paid_v1(euros: i64) -> Result<TillEvent, std::num::TryFromIntError> {
    Ok(TillEvent::Paid { cents: u32::try_from(euros * 100)? })
}

fn counted_v1(euros: u32) -> TillEvent {
    assert!(euros < 1000, "{euros} is too much");
    TillEvent::Counted { cents: euros * 100 }
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Till)]
struct Pay {
    #[command(id)]
    till: TillId,
    cents: u32,
}

#[derive(Aggregate, Clone, Debug, Default, PartialEq)]
#[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay))]
struct Till {
    cents: u32,
}

impl Apply for Till {
    fn apply(&mut self, event: &TillEvent) {
        match event {
            TillEvent::Paid { cents } => self.cents += cents,
            TillEvent::Counted { cents } => self.cents = *cents,
        }
    }
}

impl Handle<Pay> for Till {
    fn handle(&self, Pay { cents, .. }: Pay) -> Result<Vec<TillEvent>, Infallible> {
        Ok(vec![TillEvent::Paid { cents }])
    }
}

fn id(name: &str) -> TillId {
    TillId::from(name.to_owned())
}

/// Appends an event as an earlier version of the program wrote it.
async fn append_v1(store: &MemoryStore, till: &str, name: &'static str, payload: &'static str) {
    let event = EventData::new(EventType::new(name).unwrap(), payload);
    let stream = StreamId::new("till", till).unwrap();
    store.append(Append::to(stream, ExpectedVersion::Any, vec![event])).await.unwrap();
}

fn chain(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[tokio::test]
async fn an_aggregate_with_an_event_that_cannot_be_upcast_is_not_loaded() {
    let store = MemoryStore::new();
    let recount = Recount::new(store.clone());
    append_v1(&store, "a", "till.paid", "3").await;
    append_v1(&store, "b", "till.paid", "-1").await;
    append_v1(&store, "c", "till.paid", "1").await;
    append_v1(&store, "c", "till.counted", "1000").await;
    assert_eq!(recount.load::<Till>(&id("a")).await.unwrap().cents, 300);
    for (till, version, function, reason) in [
        ("b", 1, "paid_v1", "out of range integral type conversion attempted"),
        ("c", 2, "counted_v1", "it panicked: 1000 is too much"),
    ] {
        let event_type = if till == "b" { "till.paid" } else { "till.counted" };
        let expected = format!(
            "event {version} of stream till/{till} can't be read: a {event_type} event, version 1, can't become the next \
             version: upcaster {function} failed: {reason}"
        );
        let loaded = chain(&recount.load::<Till>(&id(till)).await.unwrap_err());
        assert_eq!(loaded, expected);
        let dispatched = recount.dispatch(Pay { till: id(till), cents: 1 }).await.unwrap_err();
        assert!(chain(&dispatched).contains(&expected), "{dispatched:?}");
    }
    // The store and the other aggregates go on.
    let _ = recount.dispatch(Pay { till: id("a"), cents: 1 }).await.unwrap();
    assert_eq!(Recount::new(store).load::<Till>(&id("a")).await.unwrap().cents, 301);
}

#[tokio::test]
async fn a_projection_stops_at_an_event_that_cannot_be_upcast_and_names_it() {
    for (name, payload, function) in [("till.paid", "-1", "paid_v1"), ("till.counted", "1000", "counted_v1")] {
        let store = MemoryStore::new();
        append_v1(&store, "a", "till.paid", "3").await;
        append_v1(&store, "a", name, payload).await;
        append_v1(&store, "a", "till.paid", "5").await;
        let recount = Recount::new(store);
        let retry = RetryBudget { time: Duration::ZERO, ..RetryBudget::default() };
        let fold = |seen: &mut Vec<TillEvent>, event: &TillEvent, _: &RecordedEvent| seen.push(event.clone());
        let seen = Arc::new(Fold::new(Vec::new(), fold));
        let projections = recount.consumers().retry(retry).projection(Arc::clone(&seen), InMemory::new()).start();
        let stopped = tokio::time::timeout(Duration::from_secs(10), projections.wait_for(Position::new(3))).await;
        let stopped = stopped.expect("it ends").unwrap_err();
        let Status::Stopped { error } = stopped.status else { panic!("{stopped:?}") };
        assert_eq!((stopped.position.get(), &*seen.state()), (1, &vec![TillEvent::Paid { cents: 300 }]));
        let place =
            format!("event {name} at position 2 (till/a, version 2) failed: a {name} event, version 1, can't become");
        assert!(error.starts_with(&place) && error.contains(function), "{error}");
        projections.shutdown().await;
    }
}

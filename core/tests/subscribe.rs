//! What subscriptions promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::time::Duration;

use common::*;
use futures_util::StreamExt;
use recount_core::{Delivery, Event, EventStore, Position, Query, Recount, StoreError, Subscription};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};

/// Takes events until there are this many; fails if that takes long.
async fn take(subscription: &mut Subscription, count: usize) -> Vec<Position> {
    let mut positions = Vec::new();
    while positions.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), subscription.next());
        if let Delivery::Event(event) = next.await.expect("in time").expect("open").expect("no error") {
            positions.push(event.position);
        }
    }
    positions
}

fn places(range: std::ops::RangeInclusive<u64>) -> Vec<Position> {
    range.map(Position::new).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_live_have_no_seam() {
    for seed in 0..10 {
        let (recount, _) = bank();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let recount = recount.clone();
                tokio::spawn(async move {
                    for _ in 0..100 {
                        let _ = recount.dispatch(deposit(&format!("a{writer}"), 1)).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(seed * 100)).await;
        let mut subscription = recount.subscribe(Query::all(), Position::START);
        assert_eq!(take(&mut subscription, 400).await, places(1..=400));
        for writer in writers {
            writer.await.unwrap();
        }
    }
}

#[tokio::test]
async fn it_starts_behind_the_given_position() {
    let (recount, _) = bank();
    for _ in 0..10 {
        let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    }
    let mut subscription = recount.subscribe(Query::all(), Position::new(7));
    assert_eq!(take(&mut subscription, 3).await, places(8..=10));
    // A position beyond the head means that the store lacks events, or is another one.
    let mut ahead = recount.subscribe(Query::all(), Position::new(11));
    let error = ahead.next().await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::WentBack { head, .. } if head == Position::new(10)), "{error}");
    assert!(ahead.next().await.is_none());
}

#[tokio::test]
async fn a_filter_that_matches_nothing_still_advances() {
    let (recount, _) = bank();
    let mut subscription = recount.subscribe(Query::category("nothing"), Position::START);
    assert_eq!(subscription.next().await.unwrap().unwrap(), Delivery::CaughtUp(Position::START));
    let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    assert_eq!(subscription.next().await.unwrap().unwrap(), Delivery::CaughtUp(Position::new(1)));
}

#[tokio::test(start_paused = true)]
async fn it_heals_and_neither_misses_nor_repeats() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    for _ in 0..10 {
        let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    }
    for (operation, fault) in
        [(Operation::Head, Fault::Before), (Operation::ReadAll, Fault::After), (Operation::ReadAll, Fault::Before)]
    {
        for call in 1..=3 {
            store.fail(operation, call, fault);
        }
    }
    let mut subscription = recount.subscribe(Query::all(), Position::START);
    assert_eq!(take(&mut subscription, 10).await, places(1..=10));
}

/// After an interruption the store may be a restored backup: it is compared before the next delivery, however soon
/// that comes.
#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_with_another_history_ends_it() {
    let memory = MemoryStore::new();
    let store = FaultyStore::new(memory.clone());
    let recount = Recount::new(store.clone());
    let empty = memory.backup().unwrap();
    for _ in 0..3 {
        let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    }
    let mut subscription = recount.subscribe(Query::all(), Position::START);
    assert_eq!(take(&mut subscription, 3).await, places(1..=3));
    // The store fails between two pages of a read, and then has other events.
    store.fail(Operation::ReadAll, 1, Fault::After);
    let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    assert_eq!(take(&mut subscription, 1).await, places(4..=4));
    memory.restore(&empty).unwrap();
    for _ in 0..9 {
        elsewhere(&memory, "bob", &[AccountEvent::Opened { owner: "Bob".into() }]).await;
    }
    let error = loop {
        match subscription.next().await.unwrap() {
            Ok(Delivery::CaughtUp(_)) => {}
            Ok(Delivery::Event(event)) => panic!("an event at {} of another history", event.position),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::WentBack { .. }), "{error}");
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn it_ends_when_the_store_is_closed() {
    let (recount, store) = bank();
    let mut subscription = recount.subscribe(Query::all(), Position::START);
    assert!(subscription.next().await.unwrap().is_ok());
    store.close().await;
    let rest = tokio::time::timeout(Duration::from_secs(5), subscription.next()).await.expect("in time");
    assert!(!matches!(rest, Some(Ok(_))), "{rest:?}");
}

#[tokio::test]
async fn an_event_union_is_its_filter() {
    #[derive(Event, Clone, Debug)]
    #[event(union)]
    enum Opened {
        #[event(only(Opened))]
        Account(AccountEvent),
    }
    let (recount, _) = bank();
    let _ = recount.dispatch(Open { account: account("ada"), owner: "Ada".into() }).await.unwrap();
    let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    let _ = recount.dispatch(Open { account: account("bob"), owner: "Bob".into() }).await.unwrap();
    let mut subscription = recount.subscribe(Opened::query(), Position::START);
    assert_eq!(take(&mut subscription, 2).await, [Position::new(1), Position::new(3)]);
    let Opened::Account(_) = Opened::decode("account.opened", 1, br#"{"owner":"Ada"}"#).unwrap();
    assert!(Opened::decode("account.deposited", 1, br#"{"cents":1}"#).is_err());
}

//! Waking readers: head and watch.

use std::time::Duration;

use recount_core::{Position, Store};
use tokio::time::timeout;

use super::Harness;
use super::support::*;

const SOON: Duration = Duration::from_secs(5);

/// The head of an empty store is the start; then it is the last event's position.
pub async fn the_head_is_the_position_of_the_last_event(h: &dyn Harness) {
    let store = h.open().await;
    assert_eq!(store.head().await.unwrap(), Position::START);
    for _ in 0..3 {
        let appended = add(&*store, &stream("s"), event()).await;
        assert_eq!(store.head().await.unwrap(), appended.position);
        assert_eq!(everything(&*store).await.last().unwrap().position, appended.position);
    }
}

/// A watcher wakes when something was appended, and the value reaches the head.
pub async fn a_watcher_wakes_on_an_append(h: &dyn Harness) {
    let store = h.open().await;
    wakes(&*store, &*store).await;
}

/// Also when another instance appended it.
pub async fn a_watcher_wakes_on_an_append_of_another_instance(h: &dyn Harness) {
    let (writer, reader) = (h.open().await, h.open().await);
    wakes(&*writer, &*reader).await;
    wakes(&*reader, &*writer).await;
}

async fn wakes(writer: &dyn Store, reader: &dyn Store) {
    for _ in 0..5 {
        let mut watch = reader.watch();
        let appended = add(writer, &stream("s"), event()).await;
        let reached = timeout(SOON, watch.wait_for(|head| *head >= appended.position)).await;
        assert!(*reached.expect("the watcher wakes").unwrap() >= appended.position);
        assert!(reader.head().await.unwrap() >= appended.position);
    }
}

/// A watcher that subscribes, then looks, then waits misses nothing; the head that it sees never goes back.
pub async fn no_wake_up_is_lost(h: &dyn Harness) {
    let (writer, reader) = (h.open().await, h.open().await);
    let count = scaled(h, 300) as u64;
    let writing = tokio::spawn(async move {
        for _ in 0..count {
            add(&*writer, &stream("s"), event()).await;
        }
    });
    let mut watch = reader.watch();
    let (mut seen, mut last) = (0, Position::START);
    while seen < count {
        let head = *watch.borrow_and_update();
        assert!(head >= last, "the head went back from {last} to {head}");
        last = head;
        seen = read(&*reader, &stream("s")).await.len() as u64;
        if seen < count {
            timeout(SOON, watch.changed()).await.expect("a wake-up was lost").unwrap();
        }
    }
    writing.await.unwrap();
}

/// A new watcher of a store that holds events learns their head without another append.
pub async fn a_new_watcher_knows_the_head(h: &dyn Harness) {
    let store = h.open().await;
    let appended = fill(&*store, &stream("s"), 3).await;
    let head = appended[2].position;
    assert_eq!(*timeout(SOON, store.watch().wait_for(|at| *at >= head)).await.unwrap().unwrap(), head);
    let late = h.open().await;
    assert_eq!(*timeout(SOON, late.watch().wait_for(|at| *at >= head)).await.unwrap().unwrap(), head);
}

/// Watchers end when the store is closed.
pub async fn watchers_end_when_the_store_is_closed(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 1).await;
    let mut watch = store.watch();
    let waiting = tokio::spawn(async move { while watch.changed().await.is_ok() {} });
    store.close().await;
    timeout(SOON, waiting).await.expect("the watcher ends").unwrap();
    let mut late = store.watch();
    timeout(SOON, async move { while late.changed().await.is_ok() {} }).await.expect("a late watcher ends too");
}

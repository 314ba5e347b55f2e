//! A consumer that doesn't work doesn't look healthy, with the clock of the tests; the rest is in the suite of read models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use recount_core::{BoxError, Fold, InMemory, Projection, RecordedEvent, Recount, Status};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyReadModel, FaultyStore, Operation};

type Counting = Fold<AccountEvent, u64, fn(&mut u64, &AccountEvent, &RecordedEvent)>;

fn counting() -> Arc<Counting> {
    Arc::new(Fold::new(0, |count, _, _| *count += 1))
}

/// In the read model of the tests with faults.
struct Faulty(Arc<Counting>);

impl Projection for Faulty {
    type Event = AccountEvent;
    type ReadModel = FaultyReadModel<InMemory>;

    fn name(&self) -> &str {
        "faulty"
    }

    async fn on(&self, event: &AccountEvent, recorded: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        self.0.on(event, recorded, &mut ()).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_model_that_is_gone_for_two_minutes_stops_nothing() {
    let (recount, _) = bank();
    let model = FaultyReadModel::new(InMemory::new());
    let count = counting();
    model.fail_always(Fault::Before);
    let running = recount.consumers().projection(Faulty(Arc::clone(&count)), model.clone()).start();
    let last = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let now = running.progress().remove(0);
    assert!(matches!(now.status, Status::Waiting { .. }), "{now:?}");
    model.heal();
    running.wait_for(last).await.unwrap();
    assert_eq!((*count.state(), running.progress()[0].status.clone()), (1, Status::Live));
}

/// The reader of a store that can't be reached is not up to date, and says so.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_for_two_minutes_stops_nothing_and_shows() {
    for operation in [Operation::ReadAll, Operation::Head, Operation::EventAt] {
        let store = FaultyStore::new(MemoryStore::new());
        let recount = Recount::new(store.clone());
        let first = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
        let count = counting();
        let running = recount.consumers().projection(Arc::clone(&count), InMemory::new()).start();
        running.wait_for(first).await.unwrap();
        store.fail_always(operation, Fault::Before);
        let last = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
        tokio::time::sleep(Duration::from_secs(120)).await;
        let now = running.progress().remove(0);
        assert!(matches!(now.status, Status::Waiting { .. }), "{operation:?}: {now:?}");
        store.heal();
        running.wait_for(last).await.unwrap();
        assert_eq!(*count.state(), 2);
    }
}

/// A projection whose store was closed will not go on.
#[tokio::test(start_paused = true)]
async fn a_closed_store_stops_it() {
    let (recount, _) = bank();
    let running = recount.consumers().projection(counting(), InMemory::new()).start();
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    recount.close().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let Status::Stopped { error } = running.progress().remove(0).status else { panic!("{:?}", running.progress()) };
    assert_eq!(&*error, "the store is closed");
}

/// The status tells since when, and doesn't lose that while the error repeats.
#[tokio::test(start_paused = true)]
async fn progress_tells_since_when() {
    let (recount, _) = bank();
    let model = FaultyReadModel::new(InMemory::new());
    model.fail_always(Fault::Before);
    let running = recount.consumers().projection(Faulty(counting()), model.clone()).start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let first = running.progress().remove(0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let later = running.progress().remove(0);
    assert_eq!(first.since, later.since);
    assert_ne!(first.status, later.status);
    let running = running.progress().remove(0);
    assert_eq!((&*running.name, running.kind.to_string()), ("faulty", "projection".to_owned()));
}

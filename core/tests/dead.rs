//! A consumer that doesn't work doesn't look healthy, with the clock of the tests; the rest is in the suite of read models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::saving::until;
use common::*;
use recount_core::{
    BoxError, Commands, Fold, InMemory, Position, Projection, Reaction, RecordedEvent, Recount, Status,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyReadModel, FaultyStore, Operation};

/// How long a busy machine may take.
const SOON: Duration = Duration::from_secs(30);

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

/// A read that breaks off after each first event: the event is handled, and the next read goes on behind it.
#[tokio::test(start_paused = true)]
async fn events_that_were_read_before_a_failure_are_handled() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    let mut last = Position::START;
    for _ in 0..5 {
        last = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
    }
    store.fail_always(Operation::ReadAll, Fault::After);
    let count = counting();
    let running = recount.consumers().projection(Arc::clone(&count), InMemory::new()).start();
    let reached = tokio::time::timeout(Duration::from_secs(600), running.wait_for(last)).await;
    reached.expect("it goes on").unwrap();
    assert_eq!(*count.state(), 5);
    assert!(matches!(running.progress()[0].status, Status::Waiting { .. }), "{:?}", running.progress());
}

/// An error that panics when it is shown, asked for its source, or dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Nasty {
    Display,
    Source,
    Drop,
}

/// The error of a handler.
#[derive(Debug)]
struct NastyError(Nasty);

impl Drop for NastyError {
    fn drop(&mut self) {
        assert!(self.0 != Nasty::Drop, "boom in drop");
    }
}

impl std::fmt::Display for NastyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        assert!(self.0 != Nasty::Display, "boom in Display");
        f.write_str("nasty")
    }
}

impl std::error::Error for NastyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        assert!(self.0 != Nasty::Source, "boom in source");
        None
    }
}

impl Projection for Nasty {
    type Event = AccountEvent;
    type ReadModel = InMemory;

    fn name(&self) -> &str {
        "nasty"
    }

    async fn on(&self, _: &AccountEvent, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        Err(Box::new(NastyError(*self)))
    }
}

impl Reaction for Nasty {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        "nasty"
    }

    async fn on(&self, _: &AccountEvent, _: &RecordedEvent) -> Result<Commands, BoxError> {
        Err(Box::new(NastyError(*self)))
    }
}

/// Such an error is a failure like any other: it is tried again, and the consumer stops with the panic's message.
#[tokio::test(start_paused = true)]
async fn an_error_that_panics_is_a_failure() {
    let nasty = [(Nasty::Display, "boom in Display"), (Nasty::Source, "boom in source"), (Nasty::Drop, "nasty")];
    for (nasty, message) in nasty {
        let (recount, _) = bank();
        let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
        let running = recount.consumers().projection(nasty, InMemory::new()).reaction(nasty).start();
        tokio::time::sleep(Duration::from_secs(10)).await;
        for progress in running.progress() {
            let Status::Retrying { error, .. } = &progress.status else { panic!("{progress:?}") };
            assert!(error.contains(message), "{error}");
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        for progress in running.progress() {
            let Status::Stopped { error } = &progress.status else { panic!("{progress:?}") };
            assert!(error.contains(message), "{error}");
        }
    }
}

/// Two items fail for good at once: the consumer stops with the first error, also if dropping the second panics.
#[tokio::test(start_paused = true)]
async fn two_errors_that_panic_when_they_are_dropped_stop_it() {
    let (recount, _) = bank();
    for name in ["a", "b", "c", "d"] {
        let _ = recount.dispatch(deposit(name, 5)).await.unwrap();
    }
    let running = recount.consumers().reaction(Nasty::Drop).start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let Status::Stopped { error } = running.progress().remove(0).status else { panic!("{:?}", running.progress()) };
    assert!(error.contains("nasty"), "{error}");
}

/// Blocks its thread while the test says so, and counts how many do so at once.
#[derive(Default)]
struct Blocking {
    now: AtomicUsize,
    at_most: AtomicUsize,
    blocks: Mutex<bool>,
    changed: Condvar,
}

impl Blocking {
    fn block(&self, blocks: bool) {
        *self.blocks.lock().unwrap() = blocks;
        self.changed.notify_all();
    }

    /// Waits until so many calls are under way.
    async fn until(&self, count: usize) {
        let reached = async {
            while self.now.load(Ordering::SeqCst) != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SOON, reached).await.expect("calls begin and end");
    }
}

impl Projection for Blocking {
    type Event = AccountEvent;
    type ReadModel = InMemory;

    fn name(&self) -> &str {
        "blocking"
    }

    async fn on(&self, _: &AccountEvent, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_most.fetch_max(now, Ordering::SeqCst);
        let blocks = self.blocks.lock().unwrap();
        let (blocks, _) = self.changed.wait_timeout_while(blocks, SOON * 2, |blocks| *blocks).unwrap();
        assert!(!*blocks, "the test goes on");
        drop(blocks);
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A consumer that was dropped may still be in its handler: one that is started again waits for its end, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_consumer_that_is_started_again_waits_for_the_end_of_the_one_before() {
    let (recount, _) = bank();
    let (blocking, model) = (Arc::new(Blocking::default()), InMemory::new());
    let start = || recount.consumers().projection(Arc::clone(&blocking), model.clone()).start();
    for _ in 0..2 {
        let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
        blocking.block(true);
        let first = start();
        blocking.until(1).await;
        drop(first);
        // One that never ran is dropped as well.
        drop(start());
        let again = start();
        let waiting = until(&again, |now| matches!(now.status, Status::Waiting { .. })).await;
        let Status::Waiting { error, .. } = &waiting.status else { panic!("{waiting:?}") };
        assert!(error.contains("projection blocking") && error.contains("has not ended"), "{error}");
        drop(again);
        blocking.block(false);
        blocking.until(0).await;
    }
    let last = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
    let last_one = start();
    last_one.wait_for(last).await.unwrap();
    until(&last_one, |now| now.status == Status::Live).await;
    assert_eq!(blocking.at_most.load(Ordering::SeqCst), 1);
    // A shutdown does not wait for it.
    blocking.block(true);
    let third = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
    blocking.until(1).await;
    drop(last_one);
    tokio::time::timeout(SOON, start().shutdown()).await.expect("it ends");
    assert_eq!(blocking.now.load(Ordering::SeqCst), 1);
    blocking.block(false);
    start().wait_for(third).await.unwrap();
}

/// After an outage a projection is `Live` only when it has caught up.
#[tokio::test(start_paused = true)]
async fn a_projection_is_not_live_between_an_outage_and_the_head() {
    struct Slow;
    impl Projection for Slow {
        type Event = AccountEvent;
        type ReadModel = FaultyReadModel<InMemory>;
        fn name(&self) -> &str {
            "slow"
        }
        async fn on(&self, _: &AccountEvent, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(())
        }
    }
    let (recount, _) = bank();
    let model = FaultyReadModel::new(InMemory::new());
    let running = recount.consumers().projection(Slow, model.clone()).start();
    let mut last = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
    running.wait_for(last).await.unwrap();
    until(&running, |now| now.status == Status::Live).await;
    model.fail_always(Fault::Before);
    for _ in 0..600 {
        last = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
    }
    while !matches!(running.progress()[0].status, Status::Waiting { .. }) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    model.heal();
    loop {
        let now = running.progress().remove(0);
        if now.status == Status::Live {
            assert_eq!(now.position, last);
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

//! Where consumers leave off, where they begin again, and how long a caller waits for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::saving::*;
use common::script::*;
use common::*;
use recount_core::{
    BoxError, Checkpoint, Event, ExpectedRevision, InMemory, Namespace, Position, Projection, ReadModel, RecordedEvent,
    Sink, StateStore, Status,
};

#[derive(Event, Clone, Debug)]
#[event(union)]
enum Deposits {
    #[event(only(Deposited))]
    Account(AccountEvent),
}

/// Counts deposits, unless it is held up.
#[derive(Default)]
struct Counting {
    count: AtomicU64,
    hangs: AtomicBool,
}

impl Projection for Counting {
    type Event = Deposits;
    type ReadModel = InMemory;

    fn name(&self) -> &str {
        "counting"
    }

    async fn on(&self, _: &Deposits, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A projection that leaves stores how far it is, also behind events that it doesn't select, and shows that position as soon
/// as it is started again.
#[tokio::test(start_paused = true)]
async fn a_projection_stores_where_it_leaves_and_begins_there() {
    let (recount, store) = bank();
    let (model, counting) = (InMemory::new(), Arc::new(Counting::default()));
    let start = || recount.consumers().projection(Arc::clone(&counting), model.clone()).start();
    let first = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
    let running = start();
    running.wait_for(first).await.unwrap();
    let mut last = first;
    for _ in 0..3 {
        last = recount.dispatch(withdraw("ada", 1)).await.unwrap().position.unwrap();
    }
    running.wait_for(last).await.unwrap();
    let stored = async || model.checkpoints().await.unwrap().remove(0).checkpoint;
    assert_eq!(stored().await.position, first, "it is behind: nothing was selected since");
    running.shutdown().await;
    let left = stored().await;
    let event = everything(&store).await.pop().unwrap();
    assert_eq!((left.position, left.event), (last, Some(event.data.id)));
    // Its handler hangs, so only its checkpoint tells the position.
    counting.hangs.store(true, Ordering::SeqCst);
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    let running = start();
    until(&running, |now| now.position == last).await;
    let status = recount.status().await;
    assert_eq!((status.consumers[0].progress.events, status.consumers[0].lag), (0, Some(1)));
    // It is shut down before it has handled anything: the checkpoint stays.
    recount.shutdown(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(stored().await, Checkpoint { filter: left.filter, ..left });
    assert_eq!(counting.count.load(Ordering::SeqCst), 1);
}

/// A reaction shows the position of the mark that it goes on from, also if that was moved back meanwhile.
#[tokio::test(start_paused = true)]
async fn a_sink_stores_where_it_leaves_and_begins_where_its_mark_is() {
    struct Slow;
    impl Sink for Slow {
        type Item = u64;
        const AT_ONCE: usize = 1;
        async fn take(&self, _: &u64) -> Result<(), BoxError> {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        }
    }
    let (recount, store) = bank();
    let script = Script::new(Resumes::ByMark, 3);
    let start = || recount.consumers().consumer("numbers", script.clone(), Slow).start();
    let running = start();
    until(&running, |now| now.events == 3).await;
    running.shutdown().await;
    let key = Namespace::CONSUMER.key("sink/numbers").unwrap();
    let mark = async || {
        let entry = store.get(&key).await.unwrap().unwrap();
        serde_json::from_slice::<serde_json::Value>(&entry.value).unwrap()["mark"].as_u64()
    };
    assert_eq!(mark().await, Some(3));
    script.state().last = 5;
    let running = start();
    until(&running, |now| now.position.get() == 3 && now.events == 0).await;
    until(&running, |now| now.position.get() == 5).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(mark().await, Some(5));
    let entry = store.get(&key).await.unwrap().unwrap();
    let mut stored: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
    stored["mark"] = 2.into();
    store.put(&key, serde_json::to_vec(&stored).unwrap().into(), ExpectedRevision::Any, None).await.unwrap();
    script.state().last = 6;
    until(&running, |now| now.position.get() == 2).await;
    until(&running, |now| now.position.get() == 6 && now.status == Status::Live).await;
    running.shutdown().await;
    assert_eq!(mark().await, Some(6));
}

/// A source without positions holds up no caller that waits for a position of the store, and a caller that waits for it alone
/// is told why that can't be.
#[tokio::test(start_paused = true)]
async fn a_consumer_without_positions_is_not_waited_for() {
    let (recount, store) = bank();
    let last = recount.dispatch(deposit("ada", 5)).await.unwrap().position.unwrap();
    let numbers = Numbers::default();
    let running = recount
        .consumers()
        .consumer("lines", Script::new(Resumes::ByMark, 3), numbers.clone())
        .consumer("numbers", Unplaced, numbers.clone())
        .reaction(Saving::default())
        .start();
    let waited = async {
        running.wait_for(last).await.unwrap();
        settled(&running, &store).await;
        running.wait_for_one("numbers", Position::START).await.unwrap_err()
    };
    let refused = tokio::time::timeout(Duration::from_secs(60), waited).await.expect("the caller waits for ever");
    let Status::Stopped { error } = &refused.status else { panic!("{refused:?}") };
    assert!(error.contains("its source has no positions") && error.contains("HAS_POSITIONS"), "{error}");
    assert_eq!(&*refused.name, "numbers");
    assert!(running.progress().iter().all(|progress| !progress.is_over()));
    // Positions of its own are waited for by name.
    running.wait_for_one("lines", Position::new(3)).await.unwrap();
    let late = tokio::time::timeout(Duration::from_secs(9), running.wait_for_one("lines", Position::new(4))).await;
    assert!(late.is_err());
}

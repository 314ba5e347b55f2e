//! What running projections promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use recount_core::{
    Append, BoxError, EventData, EventStore, EventType, ExpectedVersion, Fold, InMemory, Metadata, Position,
    Projection, RecordedEvent, Recount, RetryBudget, Status, StreamId,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};

type Balances = BTreeMap<String, u64>;

fn fold(balances: &mut Balances, event: &AccountEvent, recorded: &RecordedEvent) {
    let balance = balances.entry(recorded.stream.id().to_owned()).or_default();
    match event {
        AccountEvent::Opened { .. } => {}
        AccountEvent::Deposited { cents } => *balance += cents,
        AccountEvent::Withdrawn { cents } => *balance -= cents,
    }
}

/// Refuses withdrawals as often as it is told.
struct Picky {
    failures: AtomicU64,
    taken: Mutex<Vec<Position>>,
}

impl Projection for Picky {
    type Event = AccountEvent;
    type ReadModel = InMemory;

    fn name(&self) -> &str {
        "picky"
    }

    async fn on(&self, event: &AccountEvent, recorded: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        let fail = |left: u64| left.checked_sub(1);
        if matches!(event, AccountEvent::Withdrawn { .. })
            && self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail).is_ok()
        {
            return Err("I don't like withdrawals".into());
        }
        self.taken.lock().unwrap().push(recorded.position);
        Ok(())
    }
}

fn picky(failures: u64) -> Arc<Picky> {
    Arc::new(Picky { failures: AtomicU64::new(failures), taken: Mutex::default() })
}

async fn some_history(recount: &Recount) -> Position {
    let mut last = None;
    for n in 0..50 {
        let name = format!("a{}", n % 3);
        last = recount.dispatch(deposit(&name, n)).await.unwrap().position;
    }
    last.unwrap()
}

#[tokio::test]
async fn a_read_model_equals_a_fold_over_the_log_before_and_after_it_is_live() {
    let (recount, _) = bank();
    some_history(&recount).await;
    let balances = Arc::new(Fold::new(Balances::new(), fold));
    let projections = recount.consumers().projection(Arc::clone(&balances), InMemory::new()).start();
    let position = recount.dispatch(deposit("a0", 1000)).await.unwrap().position.unwrap();
    projections.wait_for(position).await.unwrap();
    let mut expected = Balances::new();
    for n in 0..50 {
        *expected.entry(format!("a{}", n % 3)).or_default() += n;
    }
    *expected.get_mut("a0").unwrap() += 1000;
    let progress = projections.progress();
    assert_eq!(*balances.state(), expected);
    assert_eq!((progress[0].position, progress[0].events), (position, 51));
    projections.shutdown().await;
}

/// Takes its time to set up.
#[derive(Default)]
struct Slow {
    set_up: AtomicU64,
}

impl Projection for Slow {
    type Event = AccountEvent;
    type ReadModel = InMemory;

    fn name(&self) -> &str {
        "slow"
    }

    async fn setup(&self, (): &mut ()) -> Result<(), BoxError> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.set_up.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn on(&self, _: &AccountEvent, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_start_finds_the_read_model_set_up() {
    let (recount, _) = bank();
    let projection = Arc::new(Slow::default());
    let projections = recount.consumers().projection(Arc::clone(&projection), InMemory::new()).start();
    projections.wait_for(Position::START).await.unwrap();
    assert_eq!(projection.set_up.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_for_a_while_sees_each_event_once() {
    let (recount, _) = bank();
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    let _ = recount.dispatch(withdraw("ada", 1)).await.unwrap();
    let last = recount.dispatch(deposit("ada", 1)).await.unwrap().position.unwrap();
    let projection = picky(3);
    let projections = recount.consumers().projection(Arc::clone(&projection), InMemory::new()).start();
    projections.wait_for(last).await.unwrap();
    assert_eq!(*projection.taken.lock().unwrap(), [1, 2, 3].map(Position::new));
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_for_good_stops_loudly_and_alone() {
    let (recount, _) = bank();
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    let last = recount.dispatch(withdraw("ada", 1)).await.unwrap().position.unwrap();
    let balances = Arc::new(Fold::new(Balances::new(), fold));
    let healthy = recount.consumers().projection(Arc::clone(&balances), InMemory::new()).start();
    let retry = RetryBudget { time: Duration::from_millis(5), ..RetryBudget::default() };
    let failing = recount.consumers().retry(retry).projection(picky(u64::MAX), InMemory::new()).start();
    let stopped = failing.wait_for(last).await.unwrap_err();
    let Status::Stopped { error } = stopped.status else { panic!("{stopped:?}") };
    assert_eq!(
        &*error,
        "event account.withdrawn at position 2 (account/ada, version 2) failed: I don't like withdrawals"
    );
    assert_eq!(stopped.position, Position::new(1));
    healthy.wait_for(last).await.unwrap();
    assert_eq!(balances.state()["ada"], 4);
}

#[tokio::test(start_paused = true)]
async fn events_before_one_that_cannot_be_read_are_taken_once() {
    let (recount, store) = bank();
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    let _ = recount.dispatch(deposit("ada", 6)).await.unwrap();
    let broken = EventData::new(EventType::new("account.deposited").unwrap(), "no JSON");
    let stream = StreamId::new("account", "ada").unwrap();
    let appended = store.append(Append::to(stream, ExpectedVersion::Any, vec![broken])).await.unwrap();
    let retry = RetryBudget { time: Duration::from_millis(5), ..RetryBudget::default() };
    let projection = picky(0);
    let projections = recount.consumers().retry(retry).projection(Arc::clone(&projection), InMemory::new()).start();
    let stopped = projections.wait_for(appended.position).await.unwrap_err();
    let Status::Stopped { error } = stopped.status else { panic!("{stopped:?}") };
    assert!(error.starts_with("event account.deposited at position 3 (account/ada, version 3) failed"), "{error}");
    assert_eq!((stopped.position, stopped.events), (Position::new(2), 2));
    assert_eq!(*projection.taken.lock().unwrap(), [1, 2].map(Position::new));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_now_and_then_stops_nothing() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    let last = some_history(&recount).await;
    for call in [1, 3, 4] {
        store.fail(Operation::Head, call, Fault::Before);
        store.fail(Operation::ReadAll, call, Fault::After);
    }
    let balances = Arc::new(Fold::new(Balances::new(), fold));
    let projections = recount.consumers().projection(Arc::clone(&balances), InMemory::new()).start();
    projections.wait_for(last).await.unwrap();
    assert_eq!(balances.state().values().sum::<u64>(), (0..50).sum::<u64>());
}

#[tokio::test]
async fn what_a_handler_sets_off_belongs_to_the_same_conversation() {
    struct Listener(Mutex<Vec<Metadata>>);
    impl Projection for Listener {
        type Event = AccountEvent;
        type ReadModel = InMemory;
        fn name(&self) -> &str {
            "listener"
        }
        async fn on(&self, _: &AccountEvent, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
            self.0.lock().unwrap().push(Metadata::current());
            Ok(())
        }
    }
    let (recount, store) = bank();
    let metadata = Metadata { correlation_id: Some("c1".into()), ..Metadata::default() };
    let last = recount.dispatch(deposit("ada", 5)).metadata(metadata).await.unwrap().position.unwrap();
    let listener = Arc::new(Listener(Mutex::default()));
    let projections = recount.consumers().projection(Arc::clone(&listener), InMemory::new()).start();
    projections.wait_for(last).await.unwrap();
    let mut events = store.read_all(recount_core::ReadAll::new(recount_core::Query::all()));
    let cause = futures_util::StreamExt::next(&mut events).await.unwrap().unwrap();
    let heard = listener.0.lock().unwrap().remove(0);
    assert_eq!(heard.correlation_id.as_deref(), Some("c1"));
    assert_eq!(heard.causation_id.as_deref(), Some(cause.data.id.to_string().as_str()));
}

/// `on_many` sees what all its events have in common; each event's own scope is one call away.
#[tokio::test]
async fn many_events_are_handled_in_the_scope_of_what_they_have_in_common() {
    struct Together(Mutex<Vec<(usize, Metadata)>>);
    impl Projection for Together {
        type Event = AccountEvent;
        type ReadModel = InMemory;
        fn name(&self) -> &str {
            "together"
        }
        async fn on(&self, _: &AccountEvent, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
            Ok(())
        }
        async fn on_many(&self, events: &[(AccountEvent, &RecordedEvent)], (): &mut ()) -> Result<(), BoxError> {
            self.0.lock().unwrap().push((events.len(), Metadata::current()));
            Ok(())
        }
    }
    for (conversations, expected) in [(["c1", "c1"], Some("c1")), (["c1", "c2"], None)] {
        let (recount, _) = bank();
        let mut last = None;
        for conversation in conversations {
            let metadata = Metadata {
                correlation_id: Some(conversation.into()),
                actor: Some("ada".into()),
                ..Metadata::default()
            };
            last = recount.dispatch(deposit("ada", 5)).metadata(metadata).await.unwrap().position;
        }
        let together = Arc::new(Together(Mutex::default()));
        let running = recount.consumers().projection(Arc::clone(&together), InMemory::new()).start();
        running.wait_for(last.unwrap()).await.unwrap();
        let (count, scope) = together.0.lock().unwrap().remove(0);
        assert_eq!(count, 2);
        assert_eq!((scope.correlation_id.as_deref(), scope.actor.as_deref()), (expected, Some("ada")));
        assert_eq!(scope.causation_id, None);
    }
}

#[tokio::test]
async fn dropping_them_stops_them() {
    let (recount, _) = bank();
    let balances = Arc::new(Fold::new(Balances::new(), fold));
    let projections = recount.consumers().projection(Arc::clone(&balances), InMemory::new()).start();
    drop(projections);
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(balances.state().is_empty());
}

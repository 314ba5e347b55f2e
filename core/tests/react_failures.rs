//! How reactions fail, wait and recover.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::saving::*;
use common::*;
use recount_core::{
    Append, BoxError, Commands, Event, EventData, EventStore, EventType, ExpectedRevision, ExpectedVersion,
    FilterChange, IdempotencyKey, Metadata, Namespace, Position, Progress, Reaction, RecordedEvent, Recount,
    StateStore, Status, StreamId,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};

#[tokio::test(start_paused = true)]
async fn a_bad_event_and_a_panic_stop_it_when_the_budget_is_used_up() {
    for (id, text) in [("a", "not yet"), ("panics", "no saving here")] {
        let (recount, store) = bank();
        let _ = recount.dispatch(deposit("fine", 5)).await.unwrap();
        let last = recount.dispatch(deposit(id, 5)).await.unwrap().position.unwrap();
        let saving = Saving { failures: AtomicU64::new(u64::MAX), ..Saving::default() };
        let running = recount.consumers().reaction(saving).start();
        let retrying = until(&running, |now| matches!(now.status, Status::Retrying { .. })).await;
        assert!(!retrying.is_over());
        let started = tokio::time::Instant::now();
        let stopped = running.wait_for(last).await.unwrap_err();
        assert!((29..40).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
        let Status::Stopped { error } = stopped.status else { panic!("{stopped:?}") };
        assert!(error.contains("event account.deposited at position") && error.contains("failed"), "{error}");
        assert!(error.contains(text) || error.contains("not yet"), "{error}");
        // Started again, it goes on.
        let running = recount.consumers().reaction(Saving::default()).start();
        settled(&running, &store).await;
        assert_eq!(balance(&recount, &format!("saved-{id}")).await, 5);
    }
}

/// Neither a store that takes no appends for two minutes nor one that can't be read or asked for state stops it.
#[tokio::test(start_paused = true)]
async fn an_outage_of_two_minutes_stops_nothing() {
    for operation in [Operation::Append, Operation::ReadAll, Operation::Get, Operation::Put, Operation::Head] {
        let store = FaultyStore::new(MemoryStore::new());
        let recount = Recount::new(store.clone());
        let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
        store.fail_always(operation, Fault::Before);
        let running = recount.consumers().reaction(Saving::default()).start();
        let waiting = until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
        let Status::Waiting { error, .. } = &waiting.status else { panic!("{waiting:?}") };
        assert!(error.contains("injected fault"), "{operation:?}: {error}");
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(
            matches!(running.progress()[0].status, Status::Waiting { .. }),
            "{operation:?}: {:?}",
            running.progress()
        );
        store.heal();
        settled(&running, &store).await;
        until(&running, |now| now.status == Status::Live).await;
        assert_eq!(balance(&recount, "saved-a").await, 5);
    }
}

/// A store that takes a question about the checkpoint and never answers is an outage, too: it shows, and it ends.
#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_stops_nothing_and_shows() {
    for operation in [Operation::Get, Operation::Put, Operation::Head, Operation::EventAt] {
        let store = FaultyStore::new(MemoryStore::new());
        let recount = Recount::new(store.clone());
        // The last event is not selected, so the checkpoint's event is asked for.
        let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
        store.fail_always(operation, Fault::PauseBefore);
        let counting = Counting::<Deposits>(Arc::default(), std::marker::PhantomData);
        let running = recount.consumers().reaction(counting).start();
        elsewhere(&store, "b", &[AccountEvent::Withdrawn { cents: 1 }]).await;
        let waiting = until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
        let Status::Waiting { error, .. } = &waiting.status else { panic!("{waiting:?}") };
        assert!(error.contains("within 30s") || error.contains("is unavailable"), "{operation:?}: {error}");
        store.heal();
        settled(&running, &store).await;
        until(&running, |now| now.status == Status::Live).await;
    }
}

/// An answer that was lost, of an append or of the checkpoint, repeats nothing.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_repeats_nothing() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    for n in 0..20 {
        let _ = recount.dispatch(deposit(&format!("a{}", n % 3), 1)).await.unwrap();
    }
    for call in [1, 2, 5, 9] {
        store.fail(Operation::Append, call, Fault::After);
        store.fail(Operation::Put, call, Fault::After);
    }
    let running = recount.consumers().reaction(Saving::default()).start();
    settled(&running, &store).await;
    let sum = balance(&recount, "saved-a0").await + balance(&recount, "saved-a1").await;
    assert_eq!(sum + balance(&recount, "saved-a2").await, 20);
}

#[tokio::test]
async fn a_checkpoint_of_lost_events_stops_it() {
    let (recount, store) = bank();
    let backup = store.backup().unwrap();
    let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
    let running = recount.consumers().reaction(Saving::default()).start();
    settled(&running, &store).await;
    running.shutdown().await;
    let key = Namespace::CONSUMER.key("reaction/saving").unwrap();
    let kept = store.get(&key).await.unwrap().unwrap();
    store.restore(&backup).unwrap();
    // The state is restored as well; it stands in for one that isn't.
    store.put(&key, kept.value, ExpectedRevision::Any, None).await.unwrap();
    let recount = Recount::new(store);
    let running = recount.consumers().reaction(Saving::default()).start();
    let stopped = running.wait_for(Position::START).await.unwrap_err();
    let Status::Stopped { error } = stopped.status else { panic!("{stopped:?}") };
    assert!(error.contains("went back in time") && error.contains("reaction saving"), "{error}");
}

/// A backup that holds an older checkpoint doesn't look like another runner that has moved it back.
#[tokio::test(start_paused = true)]
async fn a_store_that_went_back_with_its_checkpoint_stops_it() {
    let pauses = [0, 300, 1500, 5000].map(Duration::from_millis);
    // Before and after the checkpoint is stored and the store is compared.
    let times = [0, 50, 120, 500, 950, 1000, 1050, 2000, 2300].map(Duration::from_millis);
    for (time, pause) in times.into_iter().flat_map(|time| pauses.map(|pause| (time, pause))) {
        let (recount, store) = bank();
        let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
        let running = recount.consumers().reaction(Saving::default()).start();
        settled(&running, &store).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let backup = store.backup().unwrap();
        let _ = recount.dispatch(deposit("b", 5)).await.unwrap();
        // Not selected: the reaction's last known event is not one that it has read.
        let other = EventData::new(EventType::new("other.happened").unwrap(), &b"{}"[..]);
        let other = Append::to(StreamId::new("other", "x").unwrap(), ExpectedVersion::Any, vec![other]);
        store.append(other).await.unwrap();
        settled(&running, &store).await;
        tokio::time::sleep(time).await;
        store.restore(&backup).unwrap();
        tokio::time::sleep(pause).await;
        for _ in 0..9 {
            elsewhere(&store, "c", &[AccountEvent::Opened { owner: "C".into() }]).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        let Status::Stopped { error } = running.progress().remove(0).status else {
            panic!("after {time:?} and {pause:?}: {:?}", running.progress())
        };
        assert!(error.contains("went back in time") && error.contains("reaction saving"), "{error}");
    }
}

/// The application withdraws the request of a reaction: it has no effect, and the reaction goes on.
#[tokio::test]
async fn a_withdrawn_command_stops_nothing() {
    let (recount, _) = bank();
    recount.withdraw(&IdempotencyKey::new("ship/17").unwrap(), Metadata::default()).await.unwrap();
    let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
    let last = recount.dispatch(deposit("b", 5)).await.unwrap().position.unwrap();
    let running = recount.consumers().reaction(Shipping).start();
    running.wait_for(last).await.unwrap();
    assert_eq!(balance(&recount, "shipped-b").await, 1);
    assert!(recount.load::<Account>(&account("shipped-a")).await.is_err(), "it never took effect");
}

/// Notes each account with a deposit once; the one of `a` under a key that the application knows.
struct Shipping;

impl Reaction for Shipping {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        "shipping"
    }

    async fn on(&self, _: &AccountEvent, recorded: &RecordedEvent) -> Result<Commands, BoxError> {
        Ok(match recorded.stream.id() {
            "a" => Commands::send(deposit("shipped-a", 1)).idempotency_key(IdempotencyKey::new("ship/17")?),
            "b" => Commands::send(deposit("shipped-b", 1)),
            _ => Commands::none(),
        })
    }
}

/// Hears of deposits, or of everything.
struct Counting<E>(Arc<AtomicU64>, std::marker::PhantomData<fn() -> E>);

impl<E: Event> Reaction for Counting<E> {
    type Event = E;
    fn name(&self) -> &str {
        "counting"
    }
    async fn on(&self, _: &E, _: &RecordedEvent) -> Result<Commands, BoxError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Commands::none())
    }
}

#[derive(Event, Clone, Debug)]
#[event(union)]
enum Deposits {
    #[event(only(Deposited))]
    Account(AccountEvent),
}

#[tokio::test]
async fn another_filter_is_a_stated_choice() {
    let (recount, store) = bank();
    for n in 0..5 {
        let _ = recount.dispatch(deposit("a", n)).await.unwrap();
        let _ = recount.dispatch(withdraw("a", n)).await.unwrap();
    }
    let count = Arc::new(AtomicU64::new(0));
    let start = |wide: bool, choice| {
        let builder = recount.consumers().retry(soon());
        let builder = if wide {
            builder.reaction(Counting::<AccountEvent>(Arc::clone(&count), std::marker::PhantomData))
        } else {
            builder.reaction(Counting::<Deposits>(Arc::clone(&count), std::marker::PhantomData))
        };
        builder.on_filter_change(choice).start()
    };
    let running = start(false, FilterChange::Refuse);
    settled(&running, &store).await;
    running.shutdown().await;
    assert_eq!(count.swap(0, Ordering::SeqCst), 5);
    let refused = start(true, FilterChange::Refuse).wait_for(Position::new(1)).await.unwrap_err();
    let Status::Stopped { error } = refused.status else { panic!("{refused:?}") };
    assert!(
        error.contains("reaction counting") && error.contains("added account.opened, account.withdrawn"),
        "{error}"
    );
    let running = start(true, FilterChange::GoOn);
    settled(&running, &store).await;
    let _ = recount.dispatch(withdraw("a", 0)).await.unwrap();
    settled(&running, &store).await;
    running.shutdown().await;
    assert_eq!(count.swap(0, Ordering::SeqCst), 1);
    let running = start(false, FilterChange::StartOver);
    settled(&running, &store).await;
    assert_eq!(count.swap(0, Ordering::SeqCst), 5);
}

/// An older program that still runs can't move the checkpoint past events that it doesn't know.
#[tokio::test]
async fn an_older_program_does_not_move_a_newer_checkpoint() {
    let (recount, store) = bank();
    let count = Arc::new(AtomicU64::new(0));
    let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
    let narrow = Counting::<Deposits>(Arc::default(), std::marker::PhantomData);
    let old = recount.consumers().retry(soon()).reaction(narrow).start();
    settled(&old, &store).await;
    // Until the old program's checkpoint is stored.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let wide = Counting::<AccountEvent>(Arc::clone(&count), std::marker::PhantomData);
    let newer = Recount::new(store.clone());
    let new = newer.consumers().reaction(wide).on_filter_change(FilterChange::GoOn).start();
    settled(&new, &store).await;
    let _ = recount.dispatch(withdraw("a", 1)).await.unwrap();
    settled(&new, &store).await;
    let over = until(&old, Progress::is_over).await;
    let Status::Stopped { error } = over.status else { panic!("{over:?}") };
    assert!(error.contains("removed account.opened, account.withdrawn"), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// In a rolling deploy each program makes its choice once: the program that starts last hears of every event, and the one
/// before it stops.
#[tokio::test]
async fn each_program_makes_its_choice_once() {
    for choice in [FilterChange::GoOn, FilterChange::StartOver] {
        let (recount, store) = bank();
        let (narrow, count) = (Counting::<Deposits>(Arc::default(), std::marker::PhantomData), Arc::default());
        let old = recount.consumers().reaction(narrow).on_filter_change(choice).start();
        let _ = recount.dispatch(deposit("a", 100)).await.unwrap();
        settled(&old, &store).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let wide = Counting::<AccountEvent>(Arc::clone(&count), std::marker::PhantomData);
        let new = Recount::new(store.clone()).consumers().reaction(wide).on_filter_change(choice).start();
        settled(&new, &store).await;
        for _ in 0..20 {
            let _ = recount.dispatch(withdraw("a", 1)).await.unwrap();
            settled(&new, &store).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let over = until(&old, Progress::is_over).await;
        let Status::Stopped { error } = over.status else { panic!("{over:?}") };
        assert!(error.contains("removed account.opened, account.withdrawn"), "{choice:?}: {error}");
        let heard = if choice == FilterChange::GoOn { 20 } else { 21 };
        assert_eq!(count.load(Ordering::SeqCst), heard, "{choice:?}");
        assert!(!new.progress()[0].is_over());
    }
}

/// A newer program that has chosen to start over, and has stored no mark yet, is not overtaken by an older one.
#[tokio::test(start_paused = true)]
async fn an_older_program_does_not_adopt_a_checkpoint_that_starts_over() {
    let (recount, store) = bank();
    let old = Counting::<Deposits>(Arc::default(), std::marker::PhantomData);
    let old = recount.consumers().reaction(old).on_filter_change(FilterChange::GoOn).start();
    let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
    settled(&old, &store).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let key = Namespace::CONSUMER.key("reaction/counting").unwrap();
    let entry = store.get(&key).await.unwrap().unwrap();
    let mut stored: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
    (stored["mark"], stored["filter"]) = (serde_json::Value::Null, serde_json::json!(["account.closed"]));
    let value = serde_json::to_vec(&stored).unwrap().into();
    let newer = store.put(&key, value, ExpectedRevision::Exact(entry.revision), None).await.unwrap();
    let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
    let over = until(&old, Progress::is_over).await;
    let Status::Stopped { error } = over.status else { panic!("{over:?}") };
    assert!(error.contains("removed account.closed") || error.contains("added account.deposited"), "{error}");
    assert_eq!(store.get(&key).await.unwrap().unwrap().revision, newer, "it is untouched");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_a_failure_unless_it_is_declared_done() {
    struct Overdraw(bool);
    impl Reaction for Overdraw {
        type Event = AccountEvent;
        fn name(&self) -> &str {
            "overdraw"
        }
        async fn on(&self, _: &AccountEvent, recorded: &RecordedEvent) -> Result<Commands, BoxError> {
            let commands = Commands::send(withdraw(recorded.stream.id(), 1000));
            let commands = if self.0 { commands.refusal_is_done() } else { commands };
            let open = Open { account: account(recorded.stream.id()), owner: String::new() };
            let commands = commands.and(open);
            Ok(if self.0 { commands.existing_is_done() } else { commands })
        }
    }
    let (recount, _) = bank();
    let last = recount.dispatch(deposit("a", 5)).await.unwrap().position.unwrap();
    let running = recount.consumers().retry(soon()).reaction(Overdraw(false)).start();
    let Status::Stopped { error } = running.wait_for(last).await.unwrap_err().status else { panic!("it goes on") };
    assert!(error.contains("there are only 5 cents"), "{error}");
    let running = recount.consumers().reaction(Overdraw(true)).start();
    running.wait_for(last).await.unwrap();
}

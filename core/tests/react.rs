//! What reactions promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::*;
use futures_util::TryStreamExt;
use recount_core::{
    BoxError, Commands, ConsumerKind, Consumers, Event, EventStore, ExpectedRevision, FilterChange, IdempotencyKey,
    Metadata, Position, Progress, Query, Reaction, ReadAll, RecordedEvent, Recount, RetryBudget, StateKey, StateStore,
    Status, Store,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};

/// Moves what is deposited on an account `x` to the account `saved-x`, in two commands.
#[derive(Default)]
struct Saving {
    name: Option<String>,
    failures: AtomicU64,
    heard: AtomicU64,
}

impl Reaction for Saving {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("saving")
    }

    async fn on(&self, event: &AccountEvent, recorded: &RecordedEvent) -> Result<Commands, BoxError> {
        self.heard.fetch_add(1, Ordering::SeqCst);
        let id = recorded.stream.id();
        let AccountEvent::Deposited { cents } = event else { return Ok(Commands::none()) };
        if id.starts_with("saved-") {
            return Ok(Commands::none());
        }
        let fail = |left: u64| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail).is_ok() {
            assert_ne!(id, "panics", "no saving here");
            return Err("not yet".into());
        }
        Ok(Commands::send(deposit(&format!("saved-{id}"), *cents)).and(withdraw(id, *cents)))
    }
}

fn soon() -> RetryBudget {
    RetryBudget { time: Duration::from_millis(100), ..RetryBudget::default() }
}

async fn everything(store: &dyn Store) -> Vec<RecordedEvent> {
    store.read_all(ReadAll::new(Query::all())).try_collect().await.unwrap()
}

/// Waits until the reaction has handled everything, also what it has caused itself.
async fn settled(running: &Consumers, store: &dyn Store) {
    loop {
        let head = store.head().await.unwrap();
        running.wait_for(head).await.unwrap();
        if store.head().await.unwrap() == head {
            return;
        }
    }
}

async fn balance(recount: &Recount, name: &str) -> u64 {
    Recount::new(Arc::clone(recount.store())).load::<Account>(&account(name)).await.unwrap().balance
}

async fn until(running: &Consumers, expected: impl Fn(&Progress) -> bool) -> Progress {
    let reached = async {
        loop {
            let now = running.progress().remove(0);
            if expected(&now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), reached).await.expect("in time")
}

#[tokio::test]
async fn each_event_leads_to_its_commands_once_across_restarts() {
    let (recount, store) = bank();
    for round in 1..=3 {
        for n in 0..20 {
            let _ = recount.dispatch(deposit(&format!("a{}", n % 3), 1)).await.unwrap();
        }
        let running = recount.consumers().reaction(Saving::default()).start();
        settled(&running, &store).await;
        let progress = running.progress().remove(0);
        assert_eq!((progress.kind, &*progress.name, progress.status), (ConsumerKind::Reaction, "saving", Status::Live));
        running.shutdown().await;
        let mut saved = 0;
        for name in ["saved-a0", "saved-a1", "saved-a2"] {
            saved += balance(&recount, name).await;
        }
        assert_eq!(saved, round * 20);
    }
    // A shutdown stores how far it is: nothing is heard again.
    let saving = Arc::new(Saving::default());
    let running = recount.consumers().reaction(Arc::clone(&saving)).start();
    settled(&running, &store).await;
    assert_eq!(saving.heard.load(Ordering::SeqCst), 0);
}

/// A lost checkpoint, as after a crash, only repeats commands, and their keys answer them.
#[tokio::test]
async fn a_lost_checkpoint_changes_nothing() {
    let (recount, store) = bank();
    for n in 0..30 {
        let _ = recount.dispatch(deposit(&format!("a{}", n % 3), 1)).await.unwrap();
    }
    let running = recount.consumers().reaction(Saving::default()).start();
    settled(&running, &store).await;
    running.shutdown().await;
    let before = everything(&store).await;
    let key = StateKey::new("recount.consumer/reaction/saving").unwrap();
    assert!(store.get(&key).await.unwrap().is_some());
    store.delete(&key, ExpectedRevision::Any).await.unwrap();
    let running = recount.consumers().reaction(Saving::default()).start();
    settled(&running, &store).await;
    assert_eq!(everything(&store).await, before);
}

#[tokio::test]
async fn a_command_belongs_to_the_conversation_of_its_event_and_names_it_as_the_cause() {
    let (recount, store) = bank();
    let metadata = Metadata { correlation_id: Some("c1".into()), actor: Some("ada".into()), ..Metadata::default() };
    let _ = recount.dispatch(deposit("a", 5)).metadata(metadata).await.unwrap();
    // An event without a conversation starts one.
    elsewhere(&store, "b", &[AccountEvent::Deposited { cents: 1 }]).await;
    let running = recount.consumers().reaction(Saving::default()).start();
    settled(&running, &store).await;
    let events = everything(&store).await;
    let caused = |cause: &RecordedEvent| {
        let cause = cause.data.id.to_string();
        let by = |event: &&RecordedEvent| event.data.metadata.causation_id.as_deref() == Some(&*cause);
        events.iter().filter(by).map(|event| event.data.metadata.clone()).collect::<Vec<_>>()
    };
    let [of_a, of_b] = [caused(&events[0]), caused(&events[1])];
    assert_eq!((of_a.len(), of_b.len()), (2, 2));
    assert!(of_a.iter().all(|it| it.correlation_id.as_deref() == Some("c1") && it.actor.as_deref() == Some("ada")));
    let conversation = events[1].data.id.to_string();
    assert!(of_b.iter().all(|it| it.correlation_id.as_deref() == Some(&*conversation)));
    let key = IdempotencyKey::new(format!("recount.reaction/saving/{}/1", events[0].data.id)).unwrap();
    assert!(store.find_append(&key).await.unwrap().is_some());
}

/// Events of one stream are handled in order, though some fail at first; those of other streams go on meanwhile.
#[tokio::test(start_paused = true)]
async fn a_failing_event_holds_up_its_own_stream_only() {
    let (recount, store) = bank();
    for cents in 1..=5 {
        let _ = recount.dispatch(deposit("slow", cents)).await.unwrap();
    }
    let _ = recount.dispatch(deposit("other", 1)).await.unwrap();
    struct Slow;
    impl Reaction for Slow {
        type Event = AccountEvent;
        fn name(&self) -> &str {
            "slow"
        }
        async fn on(&self, event: &AccountEvent, recorded: &RecordedEvent) -> Result<Commands, BoxError> {
            let AccountEvent::Deposited { cents } = event else { return Ok(Commands::none()) };
            if recorded.stream.id() == "slow" && *cents == 1 {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            if recorded.stream.id().starts_with("copy") {
                return Ok(Commands::none());
            }
            Ok(Commands::send(deposit(&format!("copy-{}", recorded.stream.id()), *cents)))
        }
    }
    let running = recount.consumers().reaction(Slow).start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(balance(&recount, "copy-other").await, 1);
    assert_eq!(running.progress()[0].position, Position::START, "the watermark waits for the first event");
    settled(&running, &store).await;
    let copies: Vec<_> =
        everything(&store).await.into_iter().filter(|event| event.stream.id() == "copy-slow").collect();
    let copies: Vec<_> = copies.iter().map(|event| AccountEvent::from_recorded(event).unwrap()).collect();
    assert_eq!(copies, (1..=5).map(|cents| AccountEvent::Deposited { cents }).collect::<Vec<_>>());
}

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
async fn a_second_one_of_a_name_is_refused() {
    let (recount, store) = bank();
    let both = recount.consumers().reaction(Saving::default()).reaction(Saving::default()).start();
    let stopped = both.wait_for(Position::START).await.unwrap_err();
    let Status::Stopped { error } = stopped.status else { panic!("{stopped:?}") };
    assert!(error.starts_with("reaction saving runs already"), "{error}");
    assert!(!both.progress()[0].is_over());
    both.shutdown().await;
    let long = Saving { name: Some("x".repeat(401)), ..Saving::default() };
    let running = recount.consumers().reaction(long).start();
    assert!(running.progress()[0].is_over());
    let running = recount.consumers().reaction(Saving::default()).start();
    settled(&running, &store).await;
    running.wait_for_one("saving", Position::START).await.unwrap();
    assert!(running.wait_for_one("savings", Position::START).await.unwrap_err().is_over());
}

/// Two processes that run the same reaction waste work, and say so; the effects happen once, and no checkpoint goes back.
#[tokio::test]
async fn two_runners_have_the_effects_once() {
    let (recount, store) = bank();
    let other = Recount::new(store.clone());
    let runners = [&recount, &other].map(|recount| recount.consumers().reaction(Saving::default()).start());
    let key = StateKey::new("recount.consumer/reaction/saving").unwrap();
    let mut reached = 0;
    for n in 0..60 {
        let _ = recount.dispatch(deposit(&format!("a{}", n % 3), 1)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Some(entry) = store.get(&key).await.unwrap() {
            let stored: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
            let position = stored["mark"]["position"].as_u64().unwrap();
            assert!(position >= reached, "from {reached} back to {position}");
            reached = position;
        }
    }
    for runner in &runners {
        settled(runner, &store).await;
    }
    let sum = balance(&recount, "saved-a0").await + balance(&recount, "saved-a1").await;
    assert_eq!(sum + balance(&recount, "saved-a2").await, 60);
}

#[tokio::test]
async fn a_checkpoint_of_lost_events_stops_it() {
    let (recount, store) = bank();
    let backup = store.backup().unwrap();
    let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
    let running = recount.consumers().reaction(Saving::default()).start();
    settled(&running, &store).await;
    running.shutdown().await;
    let key = StateKey::new("recount.consumer/reaction/saving").unwrap();
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

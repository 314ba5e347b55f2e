//! What reactions promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::saving::*;
use common::*;
use recount_core::{
    BoxError, Commands, ConsumerKind, Event, EventStore, ExpectedRevision, IdempotencyKey, Metadata, Namespace,
    Position, Reaction, RecordedEvent, Recount, StateStore, Status,
};

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
    let key = Namespace::CONSUMER.key("reaction/saving").unwrap();
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
    let key = IdempotencyKey::of_reaction("saving", events[0].data.id, 1).unwrap();
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
    let key = Namespace::CONSUMER.key("reaction/saving").unwrap();
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

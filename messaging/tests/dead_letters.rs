//! Messages that can't be handled: reasons, operators' orders, and what goes on beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Fail, World, binding, live, quick, topic, wait_for_dead};
use recount_core::{Condition, Status};
use recount_messaging::{
    Content, DeadLetters, InProcess, LaterMessages, LetterError, LetterId, LetterState, Message, MessageId, Outgoing,
    Plan, Profile, PublishFault, RetryPlan, UnknownType,
};

fn world() -> (World, InProcess) {
    let broker = InProcess::with_profile(Profile::Nats);
    (World::new(broker.connect()), broker)
}

fn message(id: &str, message_type: &str, data: &str) -> Message {
    Message::new(MessageId::new(id).unwrap(), "test", message_type, data.to_owned()).with_key("a")
}

async fn publish(world: &World, messages: Vec<Message>) {
    let batch = messages.into_iter().map(Outgoing::new).collect();
    let fates = world.broker.publish(&topic(), batch).await;
    assert!(fates.iter().all(recount_messaging::Fate::is_stored), "{fates:?}");
}

#[tokio::test(start_paused = true)]
async fn bad_messages_are_dead_letters_with_their_reason_and_others_go_on() {
    let (world, broker) = world();
    let inbox =
        world.inbox(world.subscriber().on_unknown(UnknownType::DeadLetter).after_dead_letter(LaterMessages::Pass));
    live(&inbox).await;
    let mut newer = message("1", "orders.placed", r#"{"order":"a","n":1}"#);
    newer.schema_version = 9;
    let mut hostile = message("'; DROP \u{202e}%_*>", "orders.placed", r#"{"order":"x'); drop table e; --","n":7}"#);
    hostile.key = Some("*.> \r\n\0".into());
    publish(
        &world,
        vec![
            newer,
            message("2", "orders.unheard_of", "{}"),
            message("3", "orders.placed", r#"{"order":"a"}"#),
            message("4", "orders.placed", "not json"),
            message("5", "orders.placed", r#"{"order":"a","n":5}"#),
            hostile,
        ],
    )
    .await;
    broker
        .faults()
        .publish_raw(&topic(), "a", vec![("x".to_owned(), Bytes::from_static(b"\xff"))], Bytes::from_static(b"\0raw"))
        .unwrap();
    world.becomes("a", &[5]).await;
    world.becomes("x'); drop table e; --", &[7]).await;
    let parked = world.parked(5).await;
    assert_eq!(parked.len(), 5, "{parked:#?}");
    for (id, reason) in [("1", "version 9"), ("2", "no handler takes"), ("3", "missing field"), ("4", "orders.placed")]
    {
        let letter = parked.iter().find(|letter| letter.message.as_deref() == Some(id)).unwrap();
        assert!(letter.reason.contains(reason), "{letter:?}");
        let (_, letter) = world.dead().show(&letter.id).await.unwrap();
        assert!(letter.message().is_some());
    }
    let malformed = parked.iter().find(|letter| letter.message.is_none()).unwrap();
    assert!(malformed.reason.contains("specversion"), "{malformed:?}");
    let (_, letter) = world.dead().show(&malformed.id).await.unwrap();
    let Content::Malformed(raw) = letter.content else { panic!("not raw") };
    assert_eq!((&raw.body[..], raw.headers.iter().next().unwrap().1), (&b"\0raw"[..], &b"\xff"[..]));
}

#[tokio::test(start_paused = true)]
async fn unknown_types_are_ignored_unless_asked_for() {
    let (world, _) = world();
    let inbox = world.inbox(world.subscriber());
    live(&inbox).await;
    publish(
        &world,
        vec![message("1", "orders.unheard_of", "{}"), message("2", "orders.placed", r#"{"order":"a","n":2}"#)],
    )
    .await;
    world.becomes("a", &[2]).await;
    assert_eq!(world.dead().list(None).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_tried_once_and_later_messages_pass_if_asked_for() {
    let (world, _) = world();
    world.plan.fail("a", 1, Fail::Permanently);
    let running = (world.inbox(world.subscriber().after_dead_letter(LaterMessages::Pass)), world.relay());
    world.place("a", 0..4).await;
    world.becomes("a", &[0, 2, 3]).await;
    let parked = world.parked(1).await;
    assert_eq!((parked.len(), world.plan.calls("a", 1)), (1, 1));
    world.plan.heal();
    world.dead().redrive(&parked[0].id, "").await.unwrap();
    world.becomes("a", &[0, 2, 3, 1]).await;
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn later_messages_pass_a_message_that_dies_in_the_store() {
    let (world, _) = world();
    world.plan.fail("a", 0, Fail::Always);
    let running = (world.inbox(world.subscriber().after_dead_letter(LaterMessages::Pass)), world.relay());
    world.place("a", 0..4).await;
    world.becomes("a", &[1, 2, 3]).await;
    let parked = world.parked(1).await;
    assert_eq!((parked.len(), parked[0].attempts), (1, 4), "{parked:?}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_or_refuses_is_ended_and_counted() {
    let (world, _) = world();
    world.plan.fail("a", 0, Fail::Hang);
    let running = (world.inbox(world.subscriber().retry(RetryPlan::never())), world.relay());
    world.place("a", [0]).await;
    world.place("b", [666]).await;
    world.place("c", [1]).await;
    world.becomes("c", &[1]).await;
    let parked = world.parked(2).await;
    let reasons = format!("{parked:?}");
    assert!(reasons.contains("has not returned within 30s") && reasons.contains("666 is not entered"), "{reasons}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn operators_edit_discard_and_are_told_what_they_can_not_do() {
    let (world, _) = world();
    world.plan.fail("a", 0, Fail::Permanently);
    world.plan.fail("b", 0, Fail::Permanently);
    let ledgers = world.ledgers();
    let running = (world.inbox_on(&ledgers, world.subscriber()), world.relay());
    world.place("a", 0..3).await;
    world.place("b", 0..2).await;
    world.parked(2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let parked = world.parked(2).await;
    let health = ledgers.health().await;
    assert_eq!(health.status, Condition::Degraded, "{health:?}");
    assert!(format!("{health:?}").contains("2 dead letters wait for an operator"));
    let find = |state: LetterState, key: &str| {
        let found = parked.iter().find(|letter| letter.state == state && letter.key.as_ref().unwrap().ends_with(key));
        found.unwrap().id.clone()
    };
    let (a, behind, b) = (find(LetterState::Dead, "a"), find(LetterState::Queued, "a"), find(LetterState::Dead, "b"));
    let refused = world.dead().discard(&behind, "").await.unwrap_err();
    assert!(matches!(&refused, LetterError::NotFirst { first, .. } if *first == a), "{refused}");
    let unknown: LetterId = format!("ledgers/orders/{}/3", "0".repeat(32)).parse().unwrap();
    assert!(matches!(world.dead().redrive(&unknown, "").await, Err(LetterError::Unknown { .. })));
    let large = |mebibytes: usize| vec![b'x'; mebibytes << 20];
    for (data, note) in [(large(20), String::new()), (large(12), String::new()), (Vec::new(), "x".repeat(16 << 20))] {
        let refused = world.dead().edit(&a, data, &note).await.unwrap_err();
        assert!(matches!(&refused, LetterError::TooLarge { id, .. } if *id == a), "{refused}");
        assert!(refused.to_string().contains("the limit is 16252928"), "{refused}");
    }
    assert_eq!(world.parked(2).await, parked, "nothing was changed");
    world.dead().edit(&a, r#"{"order":"a","n":100}"#, "the number was wrong").await.unwrap();
    world.becomes("a", &[100, 1, 2]).await;
    world.dead().discard(&b, "of no use").await.unwrap();
    world.becomes("b", &[1]).await;
    assert_eq!(world.parked(0).await, []);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ledgers.health().await.status, Condition::Ok);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_discarded_or_edited_message_has_no_effect() {
    // A broker without deduplication.
    let world = World::new(InProcess::with_profile(Profile::Pulsar).connect());
    let inbox = world.inbox(world.subscriber());
    live(&inbox).await;
    for (n, edited) in [(1, None), (2, Some(r#"{"order":"a","n":20}"#))] {
        world.plan.fail("a", n, Fail::Permanently);
        let id = n.to_string();
        let again = || message(&id, "orders.placed", &format!(r#"{{"order":"a","n":{n}}}"#));
        publish(&world, vec![again(), again()]).await;
        let parked = world.parked(1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.plan.heal();
        match edited {
            None => world.dead().discard(&parked[0].id, "").await.unwrap(),
            Some(data) => world.dead().edit(&parked[0].id, data, "").await.unwrap(),
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        publish(&world, vec![again()]).await;
    }
    publish(&world, vec![message("3", "orders.placed", r#"{"order":"a","n":3}"#)]).await;
    world.becomes("a", &[20, 3]).await;
    assert_eq!(world.parked(0).await, []);
    drop(inbox);
}

#[tokio::test(start_paused = true)]
async fn a_parked_message_is_handled_by_one_program_at_a_time() {
    let (world, _) = world();
    world.plan.fail("a", 0, Fail::Once);
    let once_in_place = RetryPlan { in_place: 1, ..quick() };
    let inbox = || world.inbox(world.subscriber().retry(once_in_place).time_limit(Duration::from_secs(3600)));
    let (first, second, relay) = (inbox(), inbox(), world.relay());
    live(&second).await;
    world.place("a", 0..2).await;
    world.some_parked().await;
    world.plan.fail("a", 0, Fail::Hang);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.plan.calls("a", 0), 2, "once as it came, and once from the store");
    drop((first, second, relay));
}

#[tokio::test(start_paused = true)]
async fn an_order_for_a_message_that_is_gone_hits_no_other_one() {
    let (world, _) = world();
    world.plan.fail("a", 0, Fail::Permanently);
    let running = (world.inbox(world.subscriber()), world.relay());
    world.place("a", [0]).await;
    let gone = world.parked(1).await[0].id.clone();
    world.plan.heal();
    world.dead().redrive(&gone, "").await.unwrap();
    world.becomes("a", &[0]).await;
    world.parked(0).await;
    world.plan.fail("a", 1, Fail::Permanently);
    world.place("a", 1..3).await;
    let parked = world.parked(1).await;
    let outcome = world.dead().discard(&gone, "").await;
    assert!(matches!(outcome, Err(LetterError::Unknown { .. })), "{outcome:?}");
    assert_eq!(world.parked(1).await[0].id, parked[0].id);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_busy_relay_follows_an_order_too() {
    let (world, broker) = world();
    let inbox = world.inbox(world.subscriber());
    live(&inbox).await;
    broker.faults().publishes(1, PublishFault::Refused);
    world.place("a", [0]).await;
    let relay = world.relay();
    let letters = DeadLetters::new(Arc::new(world.orders.clone()));
    wait_for_dead(&letters, 1).await;
    for n in 0..60 {
        if n == 10 {
            letters.redrive_all(None, "").await.unwrap();
        }
        world.place("b", [n]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(world.entered("a").await, [0]);
    drop((relay, inbox));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_kills_programs_is_a_dead_letter_in_the_end() {
    for profile in Profile::ALL {
        let broker = InProcess::with_profile(profile);
        let world = World::new(broker.connect());
        // Some brokers keep nothing for a group that comes later.
        let plan = Plan { topics: Vec::new(), bindings: vec![binding()] };
        world.broker.ensure(&plan, false).await.unwrap();
        world.plan.fail("a", 0, Fail::Hang);
        let relay = world.relay();
        world.place("a", 0..2).await;
        for program in 1..=9 {
            let inbox = world.inbox(world.subscriber().crashes(5).time_limit(Duration::from_secs(3600)));
            for _ in 0..3000 {
                if world.plan.calls("a", 0) >= program || !world.dead().list(None).await.unwrap().is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // The program dies: nothing is settled or released.
            drop(inbox);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let inbox = world.inbox(world.subscriber());
        let parked = world.parked(1).await;
        assert!(parked[0].reason.contains("never finished"), "{profile:?}: {parked:?}");
        // A broker that counts its deliveries tells the first one from the others.
        let calls = world.plan.calls("a", 0);
        assert!((5..=6).contains(&calls), "{profile:?}: {calls} calls");
        drop((relay, inbox));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_message_that_comes_again_is_one_dead_letter() {
    for profile in Profile::ALL {
        let broker = InProcess::with_profile(profile);
        let world = World::new(broker.connect());
        let plan = Plan { topics: Vec::new(), bindings: vec![binding()] };
        world.broker.ensure(&plan, false).await.unwrap();
        broker.faults().publish_raw(&topic(), "a", Vec::new(), Bytes::from_static(b"\0raw")).unwrap();
        // The program dies before its acknowledgement arrives.
        broker.faults().set_latency(Duration::from_secs(5));
        let inbox = world.inbox(world.subscriber());
        world.some_parked().await;
        drop(inbox);
        broker.faults().set_latency(Duration::ZERO);
        assert_eq!(broker.faults().backlog(&binding()).unwrap(), 1, "{profile:?}: it was acknowledged");
        let inbox = world.inbox(world.subscriber());
        while broker.faults().backlog(&binding()).unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(world.dead().list(None).await.unwrap().len(), 1, "{profile:?}");
        drop(inbox);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_of_a_relay_parks_its_key_and_others_go_on() {
    let (world, broker) = world();
    let orders = world.orders();
    let inbox = world.inbox(world.subscriber());
    live(&inbox).await;
    broker.faults().publishes(1, PublishFault::Refused);
    world.place("a", 0..3).await;
    world.place("b", 0..3).await;
    let relay = world.relay_on(&orders);
    world.becomes("b", &[0, 1, 2]).await;
    let letters = DeadLetters::new(Arc::new(world.orders.clone()));
    let parked = wait_for_dead(&letters, 1).await;
    assert_eq!((parked.len(), world.entered("a").await), (3, vec![]), "{parked:?}");
    assert_eq!(orders.health().await.status, Condition::Degraded);
    letters.redrive_all(None, "").await.unwrap();
    world.becomes("a", &[0, 1, 2]).await;
    world.place("a", [3]).await;
    world.becomes("a", &[0, 1, 2, 3]).await;
    drop((relay, inbox));
}

#[tokio::test(start_paused = true)]
async fn of_two_relays_one_works_and_the_other_takes_over() {
    let (world, _) = world();
    let inbox = world.inbox(world.subscriber());
    live(&inbox).await;
    let first = world.relay();
    live(&first).await;
    let second = world.relay();
    world.place("a", 0..10).await;
    world.becomes("a", &(0..10).collect::<Vec<_>>()).await;
    let waits = second.progress()[0].status.clone();
    assert!(matches!(&waits, Status::Waiting { error, .. } if error.contains("is held by")), "{waits:?}");
    first.shutdown().await;
    world.place("a", 10..20).await;
    world.becomes("a", &(0..20).collect::<Vec<_>>()).await;
    // A relay that dies keeps its claim for ten seconds.
    let third = world.relay();
    drop(second);
    world.place("a", 20..30).await;
    world.becomes("a", &(0..30).collect::<Vec<_>>()).await;
    drop((third, inbox));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_unhandled_messages_back() {
    let (world, broker) = world();
    let relay = world.relay();
    world.plan.fail("a", 0, Fail::Hang);
    let inbox = world.inbox(world.subscriber().time_limit(Duration::from_secs(3600)));
    world.place("a", 0..3).await;
    while world.plan.calls("a", 0) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    inbox.shutdown().await;
    world.plan.heal();
    assert_eq!(broker.faults().backlog(&binding()).unwrap(), 3);
    let inbox = world.inbox(world.subscriber().retry(quick()));
    world.becomes("a", &[0, 1, 2]).await;
    drop((relay, inbox));
}

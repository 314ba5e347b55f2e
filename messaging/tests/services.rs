//! From a service's events to the effects in another service, over the in-process broker in all its profiles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::time::Duration;

use common::profiles::{in_each_profile, place_through_troubles};
use common::{Fail, live, quick};
use recount_core::{Condition, Status};
use recount_messaging::{LetterState, PublishFault, RetryPlan};

#[test]
fn each_event_takes_effect_once_in_the_order_of_its_key() {
    in_each_profile(async |world, _| {
        let running = (world.inbox(world.subscriber()), world.relay());
        for n in 0..20 {
            for order in 0..10 {
                world.place(&format!("order {order}"), [n]).await;
            }
        }
        let all: Vec<u32> = (0..20).collect();
        for order in 0..10 {
            world.becomes(&format!("order {order}"), &all).await;
        }
        running.0.shutdown().await;
        running.1.shutdown().await;
    });
}

#[test]
fn messages_that_are_published_twice_take_effect_once() {
    in_each_profile(async |world, broker| {
        for fault in [PublishFault::StoredUnknown, PublishFault::LostUnknown, PublishFault::NotSent] {
            broker.faults().publishes(7, fault);
        }
        let running = (world.inbox(world.subscriber()), world.relay());
        world.place("a", 0..30).await;
        world.place("b", 0..30).await;
        let all: Vec<u32> = (0..30).collect();
        world.becomes("a", &all).await;
        world.becomes("b", &all).await;
        // Nothing more comes.
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!((world.entered("a").await, world.entered("b").await), (all.clone(), all));
        drop(running);
    });
}

#[test]
fn a_restarted_broker_and_cut_connections_lose_and_double_nothing() {
    in_each_profile(async |world, broker| {
        let running = (world.inbox(world.subscriber()), world.relay());
        let all: Vec<u32> = (0..60).collect();
        place_through_troubles(&world, &broker, 60).await;
        world.becomes("a", &all).await;
        world.becomes("b", &all).await;
        drop(running);
    });
}

#[test]
fn an_outage_of_the_broker_opens_the_circuit_and_is_caught_up() {
    in_each_profile(async |world, broker| {
        let orders = world.orders();
        let running = (world.inbox(world.subscriber()), world.relay_on(&orders));
        world.place("a", [0]).await;
        world.becomes("a", &[0]).await;
        broker.faults().kill();
        world.place("a", 1..30).await;
        world.place("b", 0..30).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let health = orders.health().await;
        assert_eq!(health.status, Condition::Degraded, "{health:?}");
        let why = health.checks.iter().find(|check| check.name == "relay:orders:messages").unwrap();
        assert!(why.message.as_deref().unwrap().contains("the circuit is open"), "{why:?}");
        broker.faults().start();
        world.becomes("a", &(0..30).collect::<Vec<_>>()).await;
        world.becomes("b", &(0..30).collect::<Vec<_>>()).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(orders.health().await.status, Condition::Ok);
        drop(running);
    });
}

#[test]
fn a_failing_message_is_tried_again_and_its_key_keeps_its_order() {
    in_each_profile(async |world, _| {
        // The last one of the attempts in place succeeds; the first from the store does.
        world.plan.fail("a", 1, Fail::Once);
        world.plan.fail("b", 1, Fail::Times(2));
        world.plan.fail("c", 1, Fail::Panic);
        let running = (world.inbox(world.subscriber()), world.relay());
        for order in ["a", "b", "c", "d"] {
            world.place(order, 0..5).await;
        }
        world.becomes("a", &[0, 1, 2, 3, 4]).await;
        world.becomes("b", &[0, 1, 2, 3, 4]).await;
        world.becomes("d", &[0, 1, 2, 3, 4]).await;
        let parked = world.parked(1).await;
        assert_eq!(parked.len(), 4, "three wait behind it: {parked:?}");
        assert!(parked[0].reason.contains("panicked: boom"), "{parked:?}");
        assert_eq!(parked[0].attempts, 4, "two in place, two from the store");
        assert_eq!((world.entered("c").await, world.plan.calls("c", 1), world.plan.calls("c", 2)), (vec![0], 4, 0));
        drop(running);
    });
}

#[test]
fn a_redriven_dead_letter_and_those_behind_it_are_handled_in_order() {
    in_each_profile(async |world, _| {
        world.plan.fail("a", 2, Fail::Always);
        let running = (world.inbox(world.subscriber()), world.relay());
        world.place("a", 0..6).await;
        let parked = world.parked(1).await;
        assert_eq!(parked.iter().filter(|letter| letter.state == LetterState::Queued).count(), 3, "{parked:?}");
        world.plan.heal();
        assert_eq!(world.dead().redrive_all(None, "fixed").await.unwrap(), 1);
        world.becomes("a", &[0, 1, 2, 3, 4, 5]).await;
        world.place("a", [6]).await;
        world.becomes("a", &[0, 1, 2, 3, 4, 5, 6]).await;
        assert_eq!(world.parked(0).await, []);
        drop(running);
    });
}

#[test]
fn parked_messages_survive_a_restart_in_order() {
    in_each_profile(async |world, _| {
        world.plan.fail("a", 0, Fail::Times(3));
        let slowly = RetryPlan { first_delay: Duration::from_secs(100), ..quick() };
        let inbox = world.inbox(world.subscriber().retry(slowly));
        live(&inbox).await;
        let relay = world.relay();
        world.place("a", 0..4).await;
        for _ in 0..10_000 {
            if world.dead().list(None).await.unwrap().len() == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        inbox.shutdown().await;
        world.place("a", 4..6).await;
        let inbox = world.inbox(world.subscriber());
        world.becomes("a", &[0, 1, 2, 3, 4, 5]).await;
        drop((relay, inbox));
    });
}

#[test]
fn an_outage_of_what_a_handler_calls_uses_up_no_attempt() {
    in_each_profile(async |world, _| {
        world.plan.fail("a", 1, Fail::Outage);
        let ledgers = world.ledgers();
        let running = (world.inbox_on(&ledgers, world.subscriber()), world.relay());
        world.place("a", 0..3).await;
        world.place("b", 0..3).await;
        tokio::time::sleep(Duration::from_secs(1800)).await;
        assert_eq!(ledgers.health().await.status, Condition::Degraded);
        let calls = world.plan.calls("a", 1);
        assert!((20..200).contains(&calls), "the circuit paces the calls: {calls}");
        assert_eq!(world.dead().list(None).await.unwrap(), []);
        world.plan.heal();
        world.becomes("a", &[0, 1, 2]).await;
        world.becomes("b", &[0, 1, 2]).await;
        assert!(running.0.progress().iter().all(|progress| !matches!(progress.status, Status::Stopped { .. })));
        drop(running);
    });
}

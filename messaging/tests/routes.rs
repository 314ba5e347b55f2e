//! Publications to several topics, and publications whose messages are commands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::profiles::in_each_profile;
use common::{Enter, Enters, Ledger, OrderEvent, OrderMessage, Plan, World, live, quick, wait_for_dead};
use recount_core::{Condition, Consumers, Recount};
use recount_messaging::{
    Binding, DeadLetters, Group, InProcess, Profile, Publication, PublicationParts, PublishFault, Service, Subscriber,
    Topic,
};
use recount_store_memory::MemoryStore;

fn named(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

/// Numbers from 10 on are large, and have a topic of their own.
fn by_size(name: &str) -> PublicationParts {
    Publication::to(name, [named("small"), named("large")]).route(|event: &OrderEvent, _, [small, large]| match event {
        OrderEvent::Placed { order, n } => {
            let route = if *n >= 10 { large } else { small };
            Some(route.event(&OrderMessage::Placed { order: order.clone(), n: *n }))
        }
        OrderEvent::Noted => None,
    })
}

/// Commands to the service of ledgers.
fn commands(name: &str) -> PublicationParts {
    Publication::new(name, named("ledger-commands")).commands(|event: &OrderEvent, _| match event {
        OrderEvent::Placed { order, n } => Some(Enter { order: order.clone(), n: *n }),
        OrderEvent::Noted => None,
    })
}

fn relay(world: &World, publication: PublicationParts) -> Consumers {
    Service::new(world.orders(), Arc::clone(&world.broker), "orders")
        .unwrap()
        .unannounced()
        .publish(publication)
        .start()
}

/// Starts an inbox that enters the messages of a topic into a store of its own.
async fn reads(world: &World, topic: &str) -> (Recount, Consumers) {
    let recount = Recount::builder(MemoryStore::new()).register::<Ledger>().build();
    let binding = Binding::new(named(topic), Group::new("ledgers").unwrap());
    let inbox = world.inbox_on(&recount, Subscriber::new(binding).handle(Enters(Plan::default())).unwrap());
    live(&inbox).await;
    (recount, inbox)
}

fn takes_commands() -> Subscriber {
    let binding = Binding::new(named("ledger-commands"), Group::new("ledgers").unwrap());
    Subscriber::new(binding).commands().retry(quick())
}

async fn becomes(recount: &Recount, order: &str, numbers: &[u32]) {
    let mut entered = Vec::new();
    for _ in 0..20_000 {
        let ledger = recount.load::<Ledger>(&order.to_owned()).await;
        entered = ledger.map(|ledger| ledger.entered).unwrap_or_default();
        if entered.len() >= numbers.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(entered, numbers, "{order}");
}

#[test]
fn each_message_reaches_the_topic_of_its_route_in_the_order_of_its_key() {
    in_each_profile(async |world, broker| {
        let ((small, first), (large, second)) = (reads(&world, "small").await, reads(&world, "large").await);
        for fault in [PublishFault::StoredUnknown, PublishFault::LostUnknown, PublishFault::NotSent] {
            broker.faults().publishes(5, fault);
        }
        let relay = relay(&world, by_size("orders"));
        for n in [1, 10, 2, 11, 3, 12, 4, 13, 5, 14] {
            world.place("a", [n]).await;
            world.place("b", [n]).await;
        }
        for order in ["a", "b"] {
            becomes(&small, order, &[1, 2, 3, 4, 5]).await;
            becomes(&large, order, &[10, 11, 12, 13, 14]).await;
        }
        drop((relay, first, second));
    });
}

#[tokio::test(start_paused = true)]
async fn every_declared_topic_is_in_the_plan() {
    let world = World::new(InProcess::new());
    let service = Service::new(world.orders(), Arc::clone(&world.broker), "orders").unwrap().unannounced();
    let service = service.publish(by_size("orders")).publish(commands("commands"));
    let names: Vec<&str> = service.plan().topics.iter().map(Topic::name).collect();
    assert_eq!(names, ["small", "large", "ledger-commands"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_holds_up_its_key_in_its_topic_alone_and_goes_there_in_the_end() {
    let broker = InProcess::with_profile(Profile::Nats);
    let world = World::new(broker.connect());
    let ((small, first), (large, second)) = (reads(&world, "small").await, reads(&world, "large").await);
    broker.faults().publishes(1, PublishFault::Refused);
    world.place("a", [1]).await;
    let orders = world.orders();
    let service = Service::new(orders.clone(), Arc::clone(&world.broker), "orders").unwrap().unannounced();
    let running = service.publish(by_size("orders")).start();
    let letters = DeadLetters::new(Arc::new(world.orders.clone()));
    wait_for_dead(&letters, 1).await;
    world.place("a", [10, 2, 11]).await;
    becomes(&large, "a", &[10, 11]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let check = |health: recount_core::Health| {
        let check = health.checks.into_iter().find(|check| check.name == "relay:orders:messages").unwrap();
        check.message.unwrap_or_default()
    };
    let parked = letters.list(None).await.unwrap();
    assert_eq!(parked.len(), 2, "1, and 2 behind it: {parked:?}");
    let message = check(orders.health().await);
    assert!(message.contains("1 dead letters"), "{message:?}");
    letters.redrive_all(None, "").await.unwrap();
    becomes(&small, "a", &[1, 2]).await;
    becomes(&large, "a", &[10, 11]).await;
    drop((running, first, second));
}

#[tokio::test(start_paused = true)]
async fn a_letter_for_a_topic_that_is_no_longer_declared_names_it_and_is_kept() {
    let broker = InProcess::with_profile(Profile::Nats);
    let world = World::new(broker.connect());
    let (small, inbox) = reads(&world, "small").await;
    let letters = DeadLetters::new(Arc::new(world.orders.clone()));
    broker.faults().publishes(1, PublishFault::Refused);
    world.place("a", [1]).await;
    let old = relay(&world, by_size("orders"));
    wait_for_dead(&letters, 1).await;
    old.shutdown().await;
    let only_large = Publication::to("orders", [named("large")]).route(|_: &OrderEvent, _, _| None);
    let new = relay(&world, only_large);
    live(&new).await;
    letters.redrive_all(None, "").await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let parked = wait_for_dead(&letters, 1).await;
    assert!(parked[0].reason.contains("has no topic small any more"), "{parked:?}");
    new.shutdown().await;
    let again = relay(&world, by_size("orders"));
    letters.redrive_all(None, "").await.unwrap();
    becomes(&small, "a", &[1]).await;
    drop((again, inbox));
}

#[test]
fn commands_from_events_take_effect_once_in_the_order_of_their_aggregate() {
    in_each_profile(async |world, broker| {
        let inbox = world.inbox(takes_commands());
        live(&inbox).await;
        for fault in [PublishFault::StoredUnknown, PublishFault::LostUnknown, PublishFault::NotSent] {
            broker.faults().publishes(5, fault);
        }
        let relay_1 = relay(&world, commands("commands"));
        for n in 0..20 {
            world.place("a", [n]).await;
            world.place("'; DROP \u{202e}*.>", [n]).await;
        }
        let all: Vec<u32> = (0..20).collect();
        world.becomes("a", &all).await;
        world.becomes("'; DROP \u{202e}*.>", &all).await;
        // A relay with another checkpoint publishes all of them again.
        let relay_2 = relay(&world, commands("commands-again"));
        live(&relay_2).await;
        world.place("a", [20]).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.becomes("a", &(0..21).collect::<Vec<_>>()).await;
        assert_eq!(world.dead().list(None).await.unwrap(), []);
        drop((relay_1, relay_2, inbox));
    });
}

#[tokio::test(start_paused = true)]
async fn a_refused_command_is_an_outcome_and_holds_nothing_up() {
    let world = World::new(InProcess::new());
    let running = (world.inbox(takes_commands()), relay(&world, commands("commands")));
    world.place("a", [1, 666, 2]).await;
    world.becomes("a", &[1, 2]).await;
    assert_eq!(world.dead().list(None).await.unwrap(), []);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn commands_of_one_type_from_one_event_reach_each_of_their_aggregates() {
    for profile in Profile::ALL {
        let world = World::new(InProcess::with_profile(profile).connect());
        let inbox = world.inbox(takes_commands());
        live(&inbox).await;
        let to = |name: &str, account: &'static str| {
            Publication::new(name, named("ledger-commands")).commands(move |event: &OrderEvent, _| match event {
                OrderEvent::Placed { n, .. } => Some(Enter { order: account.to_owned(), n: *n }),
                OrderEvent::Noted => None,
            })
        };
        let service = Service::new(world.orders(), Arc::clone(&world.broker), "orders").unwrap().unannounced();
        let relay = service.publish(to("debits", "debit")).publish(to("credits", "credit")).start();
        world.place("a", [1]).await;
        world.becomes("debit", &[1]).await;
        world.becomes("credit", &[1]).await;
        drop((relay, inbox));
    }
}

/// A publication of the orders under another name.
fn again(name: &str) -> PublicationParts {
    Publication::new(name, common::topic()).map(|event: &OrderEvent, _| match event {
        OrderEvent::Placed { order, n } => Some(OrderMessage::Placed { order: order.clone(), n: *n }),
        OrderEvent::Noted => None,
    })
}

/// The failing checks of a service that publishes this beside its orders.
async fn refused(publication: PublicationParts) -> Vec<(String, String)> {
    let world = World::new(InProcess::new());
    let orders = world.orders();
    let service = Service::new(orders.clone(), Arc::clone(&world.broker), "orders").unwrap().unannounced();
    let service = service.publish(common::publication()).publish(publication);
    assert_eq!(service.manifest().publications.len(), 1, "the refused publication is not announced");
    let relays = service.start();
    live(&relays).await;
    assert_eq!(relays.progress().len(), 1, "the refused publication has a relay");
    let health = orders.health().await;
    let failing = health.checks.into_iter().filter(|check| check.status == Condition::Failing);
    failing.map(|check| (check.name, check.message.unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn two_messages_of_one_event_are_refused_for_one_topic() {
    let [(name, reason)] = &refused(again("again")).await[..] else { panic!("one check fails") };
    assert_eq!(name, "relay:again");
    assert!(reason.starts_with("the publications orders and again can make two messages of one event"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_publication_without_a_plain_name_is_refused() {
    for (name, check, reason) in [
        ("a\nb", "relay:a\\nb", "a publication's name must not contain '\\n': \"a\\nb\""),
        ("\u{1b}[2J", "relay:\\u{1b}[2J", "a publication's name must not contain '\\u{1b}': \"\\u{1b}[2J\""),
        ("", "relay:", "a publication's name must not be empty"),
    ] {
        assert_eq!(refused(commands(name)).await, [(check.to_owned(), reason.to_owned())]);
    }
}

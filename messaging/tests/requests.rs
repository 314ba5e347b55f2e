//! Requests to other services: commands with replies, withdrawals, and processes across services.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Enter, Ledger, OrderMessage, World, live, topic};
use futures_util::StreamExt;
use recount_core::{Consumers, EventStore, Gateway, IdempotencyKey, KeyOutcome, Metadata, Query, ReadAll, Recount};
use recount_messaging::{
    Binding, GatewayBuilder, Group, InProcess, RequestError, Service, ServiceGateway, Subscriber, Topic,
};

fn commands() -> Topic {
    Topic::new("ledger-commands").unwrap()
}

/// The service that takes commands, and another one with a gateway to it.
async fn start(world: &World) -> (Consumers, Consumers, ServiceGateway) {
    let subscriber = Subscriber::new(Binding::new(commands(), Group::new("ledgers").unwrap())).commands();
    let ledgers = world.inbox(subscriber);
    let service = Service::new(world.orders(), Arc::clone(&world.broker), "orders").unwrap().unannounced();
    let (service, gateway) = service.gateway(GatewayBuilder::new().aggregate::<Ledger>(commands())).unwrap();
    let orders = service.start();
    live(&ledgers).await;
    live(&orders).await;
    (ledgers, orders, gateway)
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

fn enter(n: u32) -> Enter {
    Enter { order: "a".to_owned(), n }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn a_command_takes_effect_once_and_its_outcome_comes_back_each_time() {
    let world = World::new(InProcess::new());
    let (ledgers, orders, gateway) = start(&world).await;
    for _ in 0..3 {
        let outcome = gateway.send(&enter(1), &key("1"), LONG).await.unwrap();
        assert!(matches!(outcome, KeyOutcome::Effect), "{outcome:?}");
    }
    assert_eq!(world.entered("a").await, [1]);
    for _ in 0..2 {
        let KeyOutcome::Refused(refusal) = gateway.send(&enter(666), &key("2"), LONG).await.unwrap() else {
            panic!("accepted")
        };
        assert_eq!((refusal.kind.as_str(), refusal.message.as_str()), ("Odd", "666 is not entered"));
        assert_eq!(refusal.json.unwrap()["Odd"]["n"], 666);
    }
    let reused = gateway.send(&enter(2), &key("1"), LONG).await.unwrap_err();
    assert!(matches!(&reused, RequestError::Impossible { reason, .. } if reason.contains("key")), "{reused}");
    assert_eq!(world.entered("a").await, [1]);
    drop((ledgers, orders));
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_command_never_takes_effect_and_a_done_one_is_not_withdrawn() {
    let world = World::new(InProcess::new());
    let (ledgers, orders, gateway) = start(&world).await;
    let recount = world.ledgers();
    assert!(matches!(gateway.send(&enter(1), &key("1"), LONG).await.unwrap(), KeyOutcome::Effect));
    let metadata = Metadata::default();
    let of = |name: &str| key(&format!("inbox/ledgers/ledger-commands/{name}@orders/0"));
    assert!(matches!(recount.withdraw(&of("1"), metadata.clone()).await.unwrap(), KeyOutcome::Effect));
    assert!(matches!(recount.withdraw(&of("2"), metadata.clone()).await.unwrap(), KeyOutcome::Withdrawn));
    assert!(matches!(gateway.send(&enter(2), &key("2"), LONG).await.unwrap(), KeyOutcome::Withdrawn));
    assert!(matches!(recount.withdraw(&of("2"), metadata).await.unwrap(), KeyOutcome::Withdrawn));
    assert_eq!(world.entered("a").await, [1]);
    drop((ledgers, orders));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_ends_in_time_and_has_its_outcome_later() {
    let world = World::new(InProcess::new());
    let (ledgers, orders, gateway) = start(&world).await;
    assert!(matches!(gateway.send(&enter(1), &key("1"), LONG).await.unwrap(), KeyOutcome::Effect));
    ledgers.shutdown().await;
    let error = gateway.send(&enter(2), &key("2"), Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, RequestError::TimedOut { .. }), "{error}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let subscriber = Subscriber::new(Binding::new(commands(), Group::new("ledgers").unwrap())).commands();
    let ledgers = world.inbox(subscriber);
    assert!(matches!(gateway.send(&enter(3), &key("3"), LONG).await.unwrap(), KeyOutcome::Effect));
    assert_eq!(world.entered("a").await, [1, 3], "the request had expired");
    assert!(matches!(gateway.send(&enter(2), &key("2"), LONG).await.unwrap(), KeyOutcome::Effect));
    assert_eq!(world.entered("a").await, [1, 3, 2]);
    drop((ledgers, orders));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_aggregate_is_named() {
    let world = World::new(InProcess::new());
    let service = Service::new(world.orders(), Arc::clone(&world.broker), "orders").unwrap().unannounced();
    let (service, gateway) = service.gateway(GatewayBuilder::new()).unwrap();
    let running = service.start();
    live(&running).await;
    let error = gateway.send(&enter(1), &key("1"), LONG).await.unwrap_err();
    assert!(error.to_string().contains("add it to the gateway"), "{error}");
    assert!(!gateway.reaches("ledger"));
}

#[tokio::test(start_paused = true)]
async fn recorded_messages_are_events_of_the_store_once_and_in_order() {
    let broker = InProcess::new();
    let world = World::new(broker.connect());
    let group = Group::new("analytics").unwrap();
    let subscriber = Subscriber::new(Binding::new(topic(), group)).record::<OrderMessage>("received").unwrap();
    let inbox = world.inbox(subscriber);
    live(&inbox).await;
    let relay = world.relay();
    for n in 0..20 {
        world.place("a", [n]).await;
        world.place("b", [n]).await;
        if n % 5 == 3 {
            broker.faults().cut_connections();
        }
    }
    let recount: Recount = world.ledgers();
    let mut recorded = Vec::new();
    for _ in 0..1000 {
        let events = recount.store().read_all(ReadAll::new(Query::category("received")));
        recorded = events.map(|event| event.unwrap()).collect::<Vec<_>>().await;
        if recorded.len() >= 40 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(recorded.len(), 40);
    for order in ["a", "b"] {
        let of: Vec<_> = recorded.iter().filter(|event| event.stream.id().ends_with(order)).collect();
        let numbers: Vec<u64> = of
            .iter()
            .map(|event| {
                serde_json::from_slice::<serde_json::Value>(&event.data.payload).unwrap()["n"].as_u64().unwrap()
            })
            .collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    }
    drop((relay, inbox));
}

/// The clock of the test is the runtime's: a frozen server holds a call for ten seconds.
#[tokio::test(start_paused = true)]
async fn a_request_to_a_frozen_broker_ends_within_the_callers_time() {
    let limit = Duration::from_secs(1);
    for declared in [false, true] {
        let broker = InProcess::new();
        let world = World::new(broker.connect());
        let (ledgers, orders, gateway) = start(&world).await;
        if declared {
            assert!(matches!(gateway.send(&enter(1), &key("1"), LONG).await.unwrap(), KeyOutcome::Effect));
        }
        broker.faults().freeze();
        for name in ["2", "3"] {
            let started = tokio::time::Instant::now();
            let error = gateway.send(&enter(2), &key(name), limit).await.unwrap_err();
            assert!(matches!(error, RequestError::TimedOut { limit: told, .. } if told == limit), "{error}");
            assert_eq!(started.elapsed().as_secs(), 1, "declared before: {declared}");
        }
        broker.faults().thaw();
        assert!(matches!(gateway.send(&enter(4), &key("4"), LONG).await.unwrap(), KeyOutcome::Effect));
        drop((ledgers, orders));
    }
}

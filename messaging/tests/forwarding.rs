//! Messages of one service that become messages for another, in a service between them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::profiles::in_each_profile;
use common::{Enter, OrderMessage, World, live, quick, topic, wait_for_dead};
use futures_util::StreamExt;
use recount_core::{Consumers, Event, EventStore, Query, ReadAll, Recount};
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, DeadLetters, Fate, Group, InProcess, Message,
    Outgoing, Plan, Profile, PublishFault, Refusal, RetryPlan, Service, Subscriber, Topic,
};
use recount_store_memory::MemoryStore;

/// Published by the service in between.
#[derive(Event, Clone, Debug)]
#[event(name = "entries", published, unlocked)]
enum EntryMessage {
    Made { order: String, n: u32 },
}

fn named(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

/// The group that forwards orders as commands to the service of ledgers.
fn to_commands() -> Subscriber {
    Subscriber::new(Binding::new(topic(), Group::new("entries").unwrap()))
        .forward([named("ledger-commands")], |OrderMessage::Placed { order, n }, _, [commands]| {
            (*n != 99).then(|| commands.command(&Enter { order: order.clone(), n: *n }))
        })
        .unwrap()
        .retry(quick())
}

/// The group that translates orders into messages of its own.
fn to_events() -> Subscriber {
    Subscriber::new(Binding::new(topic(), Group::new("entries").unwrap()))
        .forward([named("entries")], |OrderMessage::Placed { order, n }, _, [entries]| {
            Some(entries.event(&EntryMessage::Made { order: order.clone(), n: *n }))
        })
        .unwrap()
        .retry(quick())
}

/// The service in between.
struct Between {
    store: MemoryStore,
    broker: Arc<Watched>,
}

impl Between {
    fn new(broker: &InProcess) -> Self {
        Self { store: MemoryStore::new(), broker: Arc::new(Watched::new(broker.connect())) }
    }

    fn start(&self, subscriber: Subscriber) -> Consumers {
        let recount = Recount::new(self.store.clone());
        Service::new(recount, Arc::clone(&self.broker) as _, "entries")
            .unwrap()
            .unannounced()
            .subscribe(subscriber)
            .start()
    }

    fn dead(&self) -> DeadLetters {
        DeadLetters::new(Arc::new(self.store.clone()))
    }
}

/// A connection that notes published messages, and may never return from it.
struct Watched {
    broker: InProcess,
    published: Mutex<Vec<Message>>,
    /// How many of the next calls hang after the broker has stored the message.
    hanging: AtomicUsize,
    /// How many of the next calls have an unknown fate, without that the broker has stored the message.
    losing: AtomicUsize,
    /// How many of the next messages are refused.
    refusing: AtomicUsize,
}

impl Watched {
    fn new(broker: InProcess) -> Self {
        Self {
            broker,
            published: Mutex::default(),
            hanging: AtomicUsize::default(),
            losing: AtomicUsize::default(),
            refusing: AtomicUsize::default(),
        }
    }

    fn published(&self) -> Vec<Message> {
        self.published.lock().unwrap().clone()
    }

    fn hang(&self, calls: usize) {
        self.hanging.store(calls, Ordering::SeqCst);
    }
}

#[async_trait]
impl Broker for Watched {
    fn system(&self) -> &'static str {
        self.broker.system()
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        self.broker.capabilities(binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        self.broker.ensure(plan, dry_run).await
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        self.published.lock().unwrap().extend(batch.iter().map(|outgoing| outgoing.message.clone()));
        if take(&self.refusing) {
            let refused =
                |outgoing: Outgoing| Refusal::TooLarge { id: outgoing.message.id.to_string(), size: 9, limit: 5 };
            return batch.into_iter().map(|outgoing| Fate::Refused(refused(outgoing))).collect();
        }
        if take(&self.losing) {
            let lost = || BrokerError::TimedOut { operation: "publish", limit: Duration::from_secs(1) };
            return batch.iter().map(|_| Fate::Unknown(lost())).collect();
        }
        let fates = self.broker.publish(topic, batch).await;
        if take(&self.hanging) {
            std::future::pending::<()>().await;
        }
        fates
    }

    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        self.broker.subscribe(binding).await
    }

    async fn health(&self) -> Result<(), BrokerError> {
        self.broker.health().await
    }

    async fn close(&self, within: Duration) {
        self.broker.close(within).await;
    }
}

/// Takes one of the calls that are left.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// The service of ledgers, which takes commands.
async fn ledgers(world: &World) -> Consumers {
    let binding = Binding::new(named("ledger-commands"), Group::new("ledgers").unwrap());
    let inbox = world.inbox(Subscriber::new(binding).commands());
    live(&inbox).await;
    inbox
}

async fn until(mut reached: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened");
}

#[test]
fn forwarded_commands_take_effect_once_in_order_through_faults() {
    in_each_profile(async |world, broker| {
        let between = Between::new(&broker);
        let running = (ledgers(&world).await, between.start(to_commands()));
        live(&running.1).await;
        let relay = world.relay();
        let all: Vec<u32> = (0..40).collect();
        for n in 0..40 {
            world.place("a", [n]).await;
            world.place("b", [n]).await;
            match n % 20 {
                1 => between.broker.losing.store(3, Ordering::SeqCst),
                3 => broker.faults().publishes(3, PublishFault::StoredUnknown),
                6 => broker.faults().publishes(3, PublishFault::LostUnknown),
                9 => broker.faults().publishes(3, PublishFault::NotSent),
                12 => broker.faults().cut_connections(),
                15 => broker.faults().restart(),
                18 => broker.faults().move_lanes(),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        world.becomes("a", &all).await;
        world.becomes("b", &all).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!((world.entered("a").await, world.entered("b").await), (all.clone(), all));
        assert_eq!(between.dead().list(None).await.unwrap(), []);
        drop((relay, running));
    });
}

#[test]
fn a_crash_between_forwarding_and_acknowledging_repeats_the_same_message() {
    in_each_profile(async |world, broker| {
        let between = Between::new(&broker);
        let ledgers = ledgers(&world).await;
        let first = between.start(to_commands());
        live(&first).await;
        between.broker.hang(1);
        let relay = world.relay();
        world.place("a", [0]).await;
        until(|| !between.broker.published().is_empty()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The program dies: nothing is settled or released.
        drop(first);
        let second = between.start(to_commands());
        world.place("a", 1..4).await;
        world.becomes("a", &[0, 1, 2, 3]).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.entered("a").await, [0, 1, 2, 3]);
        let published = between.broker.published();
        let repeated: Vec<_> = published.iter().filter(|message| message.data == published[0].data).collect();
        assert!(repeated.len() > 1, "it was forwarded again");
        assert!(repeated.iter().all(|message| **message == published[0]), "{repeated:#?}");
        drop((relay, second, ledgers));
    });
}

/// Messages that follow are not confirmed for a while, and no attempt is used up, though none is left.
async fn unconfirmed_messages_use_up_no_attempt(limited: impl FnOnce(Subscriber) -> Subscriber) {
    let broker = InProcess::with_profile(Profile::Nats);
    let world = World::new(broker.connect());
    let between = Between::new(&broker);
    let ledgers = ledgers(&world).await;
    let inbox = between.start(limited(to_commands().retry(RetryPlan::never())));
    live(&inbox).await;
    between.broker.hang(20);
    let relay = world.relay();
    world.place("a", 0..2).await;
    world.becomes("a", &[0, 1]).await;
    until(|| between.broker.published().len() > 20).await;
    assert_eq!(between.dead().list(None).await.unwrap(), []);
    drop((relay, inbox, ledgers));
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_message_uses_up_no_attempt_even_beyond_the_time_limit() {
    unconfirmed_messages_use_up_no_attempt(|subscriber| subscriber.time_limit(Duration::from_secs(2))).await;
}

#[tokio::test(start_paused = true)]
async fn a_layers_own_time_limit_uses_up_no_attempt_either_while_a_message_is_unconfirmed() {
    let limit = tower::timeout::TimeoutLayer::new(Duration::from_secs(2));
    unconfirmed_messages_use_up_no_attempt(|subscriber| subscriber.layer(limit)).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_refuses_is_a_dead_letter_at_once_and_can_be_redriven() {
    let broker = InProcess::with_profile(Profile::Nats);
    let world = World::new(broker.connect());
    let between = Between::new(&broker);
    let running = (ledgers(&world).await, between.start(to_commands()), world.relay());
    between.broker.refusing.store(1, Ordering::SeqCst);
    world.place("a", 0..3).await;
    world.place("b", 0..3).await;
    let parked = wait_for_dead(&between.dead(), 1).await;
    let (refused, order) = if parked[0].key.as_deref().unwrap().ends_with('a') { ("a", "b") } else { ("b", "a") };
    assert!(parked[0].reason.contains("the limit of the broker is 5"), "{parked:?}");
    assert_eq!(parked[0].attempts, 1);
    world.becomes(order, &[0, 1, 2]).await;
    assert!(world.entered(refused).await.is_empty(), "later messages of its key wait");
    between.dead().redrive_all(None, "the limit was raised").await.unwrap();
    world.becomes(refused, &[0, 1, 2]).await;
    drop(running);
}

#[test]
fn translated_messages_keep_the_order_of_their_key_and_come_once() {
    in_each_profile(async |world, broker| {
        let between = Between::new(&broker);
        let binding = Binding::new(named("entries"), Group::new("analytics").unwrap());
        let reads = world.inbox(Subscriber::new(binding).record::<EntryMessage>("entry").unwrap());
        let inbox = between.start(to_events());
        live(&reads).await;
        live(&inbox).await;
        let relay = world.relay();
        for n in 0..20 {
            world.place("a", [n]).await;
            world.place("b", [n]).await;
            match n {
                5 => broker.faults().publishes(4, PublishFault::StoredUnknown),
                10 => broker.faults().cut_connections(),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let recount = world.ledgers();
        let mut recorded = Vec::new();
        for _ in 0..2000 {
            let events = recount.store().read_all(ReadAll::new(Query::category("entry")));
            recorded = events.map(|event| event.unwrap()).collect().await;
            if recorded.len() >= 40 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for order in ["a", "b"] {
            let of: Vec<u32> = recorded
                .iter()
                .filter(|event| event.stream.id().ends_with(order))
                .map(|event| {
                    let EntryMessage::Made { n, .. } = EntryMessage::from_recorded(event).unwrap();
                    n
                })
                .collect();
            assert_eq!(of, (0..20).collect::<Vec<_>>(), "{order}");
        }
        let message = between.broker.published().into_iter().next().unwrap();
        let metadata = &recorded.iter().find(|event| message.id.as_str() == event.data.id.to_string()).unwrap();
        let metadata = &metadata.data.metadata;
        assert_eq!(metadata.causation_id.as_deref(), Some(message.id.as_str()));
        assert_eq!(metadata.correlation_id, message.metadata.correlation_id);
        assert!(message.metadata.causation_id.is_some() && message.metadata.causation_id != metadata.causation_id);
        assert_eq!((&*message.source, message.key.is_some(), message.time.is_some()), ("entries", true, true));
        drop((relay, inbox, reads));
    });
}

#[tokio::test(start_paused = true)]
async fn the_topics_to_which_messages_are_forwarded_are_in_the_plan() {
    let world = World::new(InProcess::new());
    let service = Service::new(world.ledgers(), Arc::clone(&world.broker), "entries").unwrap().unannounced();
    let service = service.subscribe(to_commands());
    assert_eq!(service.plan().topics, [named("ledger-commands")]);
    assert_eq!(service.plan().bindings.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_mapped_is_acknowledged() {
    let broker = InProcess::new();
    let world = World::new(broker.connect());
    let between = Between::new(&broker);
    let running = (ledgers(&world).await, between.start(to_commands()), world.relay());
    world.place("a", [99, 1]).await;
    world.becomes("a", &[1]).await;
    let binding = Binding::new(topic(), Group::new("entries").unwrap());
    until(|| broker.faults().backlog(&binding).unwrap() == 0).await;
    assert_eq!(between.broker.published().len(), 1);
    assert_eq!(wait_for_dead(&between.dead(), 0).await, []);
    drop(running);
}

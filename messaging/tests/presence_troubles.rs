//! Presence with hostile announcements, and with a broker that is away, frozen, or does not allow announcements.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::cell::Cell;
use std::sync::{Arc, Once};
use std::time::Duration;

use common::World;
use common::presence::{WHILE, binding, heard, in_each_profile, service, started, states};
use recount_core::{Condition, Status};
use recount_messaging::{
    Binding, Broker, BrokerError, Capabilities, Change, Fate, InProcess, Message, MessageId, Outgoing, Plan, Presence,
    Room, Service, Settle, Signal, Topic,
};
use serde_json::{Value, json};

#[tokio::test(start_paused = true)]
async fn malformed_and_hostile_announcements_are_ignored_and_counted() {
    let broker = InProcess::new();
    let world = World::new(broker.connect());
    let running = started(service(&world, &world.orders()).instance("good").unwrap()).await;
    tokio::time::sleep(WHILE).await;
    let good = announcement(&broker).await;
    let with = |path: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed.to_string()
    };
    let hostile = [
        "no json".to_owned(),
        "{}".to_owned(),
        "[".repeat(100_000),
        json!({"manifest": {"format": 1}}).to_string(),
        with("/manifest/format", json!(2)),
        with("/manifest/service", json!("payments")),
        with("/manifest/instance", json!("\u{1b}[31mred")),
        with("/manifest/instance", json!("x".repeat(200))),
        with("/health/checks", json!("none")),
        with("/health", json!({"status": "ok", "checks": [], "padding": "x".repeat(300_000)})),
        with("/sequence", json!(-1)),
    ];
    let topic = binding("any").topic;
    for (number, data) in hostile.iter().enumerate() {
        let id = MessageId::new(format!("hostile-{number}")).unwrap();
        let message = Message::new(id, "orders", "recount.presence", data.clone());
        assert!(broker.publish(&topic, vec![message.into()]).await[0].is_stored());
    }
    let other = Message::new(MessageId::new("other").unwrap(), "orders", "orders.placed", "{}");
    broker.publish(&topic, vec![other.into()]).await;
    broker.faults().publish_raw(&topic, "k", vec![], bytes_of("no envelope")).unwrap();
    // An interval that never ends is cut, and controls are taken out of texts.
    let odd = with("/interval_ms", json!(u64::MAX)).replace("1.2.3", "\\u001b[2J").replace("\"good\"", "\"odd\"");
    let odd = Message::new(MessageId::new("odd").unwrap(), "orders", "recount.presence", odd);
    broker.publish(&topic, vec![odd.into()]).await;

    let directory = heard(&broker).await;
    assert_eq!(directory.ignored, hostile.len() as u64 + 2);
    assert_eq!(states(&directory), [Presence::Present, Presence::Present]);
    assert_eq!(directory.instances[1].manifest.version.as_deref(), Some(" [2J"));
    tokio::time::sleep(Duration::from_secs(541)).await;
    let odd = heard(&broker).await.instances.into_iter().find(|it| it.manifest.instance == "odd").unwrap();
    assert_eq!(odd.state, Presence::Expired);
    drop(running);
}

fn bytes_of(text: &'static str) -> bytes::Bytes {
    bytes::Bytes::from_static(text.as_bytes())
}

/// The data of the first announcement.
async fn announcement(broker: &InProcess) -> Value {
    let reader = binding("reader");
    broker.ensure(&Plan { topics: vec![], bindings: vec![reader.clone()] }, false).await.unwrap();
    let mut consumer = broker.subscribe(&reader).await.unwrap();
    loop {
        if let Signal::Deliveries(deliveries) = consumer.next(&Room::of(1)).await.unwrap() {
            let delivery = deliveries.into_iter().next().unwrap();
            let json = serde_json::from_slice(&delivery.message.unwrap().data).unwrap();
            consumer.settle(vec![(delivery.ticket, Settle::Ack)]).await;
            return json;
        }
    }
}

thread_local! {
    /// How often the announcer has warned on this thread.
    static WARNINGS: Cell<usize> = const { Cell::new(0) };
}

/// Counts warnings and errors of the announcer, and nothing else.
struct Warnings;

impl Warnings {
    /// Counts from now on, on every thread: with a subscriber of one thread, an event that another thread meets first is
    /// switched off for the whole program.
    fn count() {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| tracing::subscriber::set_global_default(Warnings).unwrap());
    }

    fn counted() -> usize {
        WARNINGS.get()
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event()
            && *metadata.level() <= tracing::Level::WARN
            && metadata.target().starts_with("recount_messaging::presence")
    }
    fn event(&self, _: &tracing::Event<'_>) {
        WARNINGS.set(WARNINGS.get() + 1);
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_broker_that_is_away_disturbs_nothing_and_is_announced_to_later() {
    Warnings::count();
    in_each_profile(async |world, broker| {
        let before = Warnings::counted();
        broker.faults().kill();
        let recount = world.orders();
        let service = Service::new(recount.clone(), Arc::clone(&world.broker), "orders").unwrap();
        let running = started(service).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(running.progress()[0].status, Status::Live);
        assert_eq!(recount.health().await.status, Condition::Ok);
        assert_eq!(Warnings::counted() - before, 1, "an outage is logged once");
        broker.faults().start();
        tokio::time::sleep(WHILE).await;
        assert_eq!(states(&heard(&broker).await), [Presence::Present]);
        drop(running);
    });
}

#[test]
fn a_frozen_broker_holds_up_no_shutdown() {
    in_each_profile(async |world, broker| {
        let running = started(service(&world, &world.orders())).await;
        let only = Service::new(world.ledgers(), Arc::clone(&world.broker), "only").unwrap().start();
        tokio::time::sleep(WHILE).await;
        broker.faults().freeze();
        let start = tokio::time::Instant::now();
        only.shutdown().await;
        assert!(start.elapsed() <= Duration::from_secs(3), "{:?}", start.elapsed());
        broker.faults().thaw();
        running.shutdown().await;
    });
}

/// A broker that does not allow announcements.
struct Restricted(InProcess);

#[async_trait::async_trait]
impl Broker for Restricted {
    fn system(&self) -> &'static str {
        self.0.system()
    }
    fn capabilities(&self, binding: &Binding) -> Capabilities {
        self.0.capabilities(binding)
    }
    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        if plan.topics.iter().any(|topic| topic.name() == "recount-presence") {
            return Err(BrokerError::NotAllowed { operation: "ensure", source: "no rights".into() });
        }
        self.0.ensure(plan, dry_run).await
    }
    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        self.0.publish(topic, batch).await
    }
    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn recount_messaging::BrokerConsumer>, BrokerError> {
        self.0.subscribe(binding).await
    }
    async fn health(&self) -> Result<(), BrokerError> {
        self.0.health().await
    }
    async fn close(&self, within: Duration) {
        self.0.close(within).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_may_not_announce_itself_works() {
    let world = World::new(Restricted(InProcess::new()));
    let recount = world.orders();
    let running = (world.inbox(world.subscriber()), started(service(&world, &recount)).await);
    world.place("a", 0..3).await;
    world.becomes("a", &[0, 1, 2]).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(recount.health().await.status, Condition::Ok);
    drop(running);
}

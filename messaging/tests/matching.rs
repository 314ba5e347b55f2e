//! A service handles the messages of all topics that match a pattern, over the in-process broker in all its profiles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::profiles::in_each_profile;
use common::{Enters, OrderEvent, OrderMessage, World, live, quick};
use recount_core::{BoxError, Condition, ConsumerKind, Consumers, Recount, Status};
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Fate, Group, InProcess, Observer, Outgoing,
    Plan, Profile, Publication, PublicationParts, Service, Subscriber, Topic, TopicPattern,
};
use tokio::time::sleep;

/// Orders go to the topic `orders-` and the first letter of their name.
fn publication(name: &str, letter: &'static str) -> PublicationParts {
    let topic = Topic::new(&format!("orders-{letter}")).unwrap();
    Publication::new(name, topic).map(move |event: &OrderEvent, _| match event {
        OrderEvent::Placed { order, n } if order.starts_with(letter) => {
            Some(OrderMessage::Placed { order: order.clone(), n: *n })
        }
        _ => None,
    })
}

fn publish(world: &World, letter: &'static str) -> Consumers {
    let service = Service::new(world.orders(), Arc::clone(&world.broker), "orders").unwrap();
    service.unannounced().publish(publication(&format!("orders-{letter}"), letter)).start()
}

fn ledgers(topic: Topic) -> Binding {
    Binding::new(topic, Group::new("ledgers").unwrap())
}

fn enters(world: &World) -> impl Fn(Topic) -> Result<Subscriber, BoxError> + Send + Sync + 'static {
    let plan = world.plan.clone();
    move |topic| Ok(Subscriber::new(ledgers(topic)).handle(Enters(plan.clone()))?.retry(quick()))
}

fn service(world: &World, recount: &Recount) -> Service {
    Service::new(recount.clone(), Arc::clone(&world.broker), "ledgers").unwrap()
}

fn orders_of() -> TopicPattern {
    TopicPattern::new("orders-*").unwrap()
}

/// The names of the inboxes that run.
async fn inboxes(recount: &Recount) -> Vec<String> {
    let consumers = recount.status().await.consumers.into_iter().map(|consumer| consumer.progress);
    let running = consumers.filter(|it| it.kind == ConsumerKind::Inbox && !it.is_over());
    let mut names: Vec<String> = running.map(|it| it.name.to_string()).collect();
    names.sort_unstable();
    names
}

#[test]
fn topics_from_before_and_from_later_are_handled_without_a_gap() {
    in_each_profile(async |world, broker| {
        let recount = world.ledgers();
        if !broker.profile().capabilities(&common::binding()).lists_topics {
            let running =
                service(&world, &recount).unannounced().subscribe_matching(orders_of(), enters(&world)).start();
            let stopped = async {
                loop {
                    let progress = running.progress().remove(0);
                    if let Status::Stopped { error } = progress.status {
                        assert_eq!(progress.kind, ConsumerKind::Discovery);
                        break error;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            };
            let error = tokio::time::timeout(Duration::from_secs(120), stopped).await.unwrap();
            assert!(error.contains("list its topics"), "{error}");
            assert_eq!(recount.health().await.status, Condition::Failing);
            return;
        }
        let first = publish(&world, "a");
        world.place("a", 0..3).await;
        live(&first).await;
        let running = service(&world, &recount).subscribe_matching(orders_of(), enters(&world)).start();
        world.becomes("a", &[0, 1, 2]).await;
        let second = publish(&world, "b");
        world.place("b", 0..3).await;
        world.place("a", 3..5).await;
        world.becomes("b", &[0, 1, 2]).await;
        world.becomes("a", &[0, 1, 2, 3, 4]).await;
        assert_eq!(inboxes(&recount).await, ["ledgers/orders-a", "ledgers/orders-b"]);
        assert_eq!(recount.health().await.status, Condition::Ok);
        running.shutdown().await;
        assert!(inboxes(&recount).await.is_empty());
        // The next program goes on where this one ended.
        world.place("a", 5..8).await;
        let recount = world.ledgers();
        let running = service(&world, &recount).subscribe_matching(orders_of(), enters(&world)).start();
        world.becomes("a", &[0, 1, 2, 3, 4, 5, 6, 7]).await;
        drop((running, first, second));
    });
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_killed_and_one_beside_it_double_nothing() {
    let world = World::new(InProcess::with_profile(Profile::Kafka));
    let relay = publish(&world, "a");
    for round in 0..6 {
        let recounts = [world.ledgers(), world.ledgers()];
        let start =
            |recount: &Recount| service(&world, recount).subscribe_matching(orders_of(), enters(&world)).start();
        let running = recounts.each_ref().map(start);
        world.place("a", round * 10..round * 10 + 10).await;
        sleep(Duration::from_millis(u64::from(round) * 400)).await;
        drop(running);
    }
    let recount = world.ledgers();
    let running = service(&world, &recount).subscribe_matching(orders_of(), enters(&world)).start();
    world.becomes("a", &(0..60).collect::<Vec<_>>()).await;
    drop((running, relay));
}

#[tokio::test(start_paused = true)]
async fn a_found_topic_is_announced_with_its_types() {
    let world = World::new(InProcess::new());
    let relay = publish(&world, "a");
    live(&relay).await;
    let recount = world.ledgers();
    let running = service(&world, &recount).subscribe_matching(orders_of(), enters(&world)).start();
    let mut observer = Observer::open(Arc::clone(&world.broker)).await.unwrap();
    let mut topics = Vec::new();
    for _ in 0..4 {
        observer.observe(Duration::from_secs(10)).await.unwrap();
        let directory = observer.directory();
        let subscriptions = directory.instances.iter().flat_map(|instance| &instance.manifest.subscriptions);
        topics = subscriptions.map(|it| (it.topic.clone(), it.types[0].name.clone())).collect();
    }
    assert_eq!(topics, [("orders-a".to_owned(), "orders.placed".to_owned())]);
    drop((running, relay));
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_fails_is_told_by_health_and_made_again() {
    let world = World::new(InProcess::new());
    let relays = [publish(&world, "a"), publish(&world, "b")];
    world.place("a", [0]).await;
    world.place("b", [0]).await;
    let (recount, heals) = (world.ledgers(), Arc::new(AtomicBool::new(false)));
    let (healed, enters) = (Arc::clone(&heals), enters(&world));
    let panics = Arc::new(AtomicBool::new(true));
    let also = Arc::clone(&panics);
    let subscriber = move |topic: Topic| match (topic.name(), healed.load(Ordering::Relaxed)) {
        ("orders-b", false) if also.load(Ordering::Relaxed) => panic!("boom"),
        ("orders-b", false) => Err("no handler for b".into()),
        _ => enters(topic),
    };
    let running = service(&world, &recount).subscribe_matching(orders_of(), subscriber).start();
    world.becomes("a", &[0]).await;
    // Longer than a consumer that fails is tried again.
    sleep(Duration::from_secs(120)).await;
    world.place("a", [1]).await;
    world.becomes("a", &[0, 1]).await;
    let message = recount.health().await.checks.into_iter().find_map(|check| check.message).unwrap();
    assert!(message.starts_with("topic orders-b has no inbox: ") && message.contains("panicked"), "{message}");
    panics.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(15)).await;
    let health = recount.health().await;
    let check = health.checks.iter().find(|check| check.name == "discovery:orders-*:topics").unwrap();
    assert_eq!(
        (check.status, check.message.as_deref()),
        (Condition::Degraded, Some("topic orders-b has no inbox: no handler for b"))
    );
    heals.store(true, Ordering::Relaxed);
    world.becomes("b", &[0]).await;
    assert_eq!(recount.health().await.status, Condition::Ok);
    drop((running, relays));
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_of_another_topic_is_refused() {
    let world = World::new(InProcess::new());
    let relays = [publish(&world, "a"), publish(&world, "b")];
    live(&relays[0]).await;
    live(&relays[1]).await;
    let (recount, enters) = (world.ledgers(), enters(&world));
    let always = move |_| enters(Topic::new("orders-a").unwrap());
    let running = service(&world, &recount).subscribe_matching(orders_of(), always).start();
    sleep(Duration::from_secs(15)).await;
    let message = recount.health().await.checks.into_iter().find_map(|check| check.message).unwrap();
    assert_eq!(message, "topic orders-b has no inbox: the subscriber of topic orders-b is bound to topic orders-a");
    assert_eq!(inboxes(&recount).await, ["ledgers/orders-a"]);
    drop((running, relays));
}

#[tokio::test(start_paused = true)]
async fn found_inboxes_end_when_their_service_is_dropped() {
    let world = World::new(InProcess::new());
    let (recount, relay) = (world.ledgers(), publish(&world, "a"));
    live(&relay).await;
    for round in 0..3 {
        let running = service(&world, &recount).unannounced().subscribe_matching(orders_of(), enters(&world)).start();
        sleep(Duration::from_secs(15)).await;
        assert_eq!(inboxes(&recount).await, ["ledgers/orders-a"]);
        assert_eq!(recount.health().await.status, Condition::Ok, "round {round}");
        drop(running);
        sleep(Duration::from_secs(1)).await;
        assert!(inboxes(&recount).await.is_empty());
    }
    world.place("a", [0]).await;
    sleep(Duration::from_secs(60)).await;
    assert!(world.entered("a").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_with_other_lanes_is_refused() {
    let world = World::new(InProcess::new());
    let topic = Topic::new("orders-a").unwrap().with_lanes(std::num::NonZeroU16::new(3).unwrap());
    world.broker.ensure(&Plan { topics: vec![topic], bindings: Vec::new() }, false).await.unwrap();
    let (recount, enters) = (world.ledgers(), enters(&world));
    let renamed = move |topic: Topic| enters(Topic::new(topic.name()).unwrap());
    let running = service(&world, &recount).unannounced().subscribe_matching(orders_of(), renamed).start();
    sleep(Duration::from_secs(15)).await;
    let health = recount.health().await;
    let message = health.checks.into_iter().find_map(|check| check.message).unwrap();
    assert!(message.contains("8 lanes") && message.contains("it has 3"), "{message}");
    assert_eq!(health.status, Condition::Degraded);
    drop(running);
}

/// A broker whose topics can be hidden, and whose list can fail.
struct Hiding {
    broker: InProcess,
    hidden: Arc<Mutex<BTreeSet<String>>>,
    fails: Arc<AtomicBool>,
    declared: Arc<AtomicUsize>,
}

#[async_trait]
impl Broker for Hiding {
    fn system(&self) -> &'static str {
        self.broker.system()
    }

    fn capabilities(&self, binding: &Binding) -> Capabilities {
        self.broker.capabilities(binding)
    }

    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        let hidden = self.hidden.lock().unwrap().clone();
        let deleted = plan.bindings.iter().filter(|binding| hidden.contains(binding.topic.name()));
        self.declared.fetch_add(deleted.count(), Ordering::Relaxed);
        self.broker.ensure(plan, dry_run).await
    }

    async fn topics(&self, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(BrokerError::Failed { operation: "listing topics", source: "not now".into() });
        }
        let mut topics = self.broker.topics(pattern).await?;
        topics.retain(|topic| !self.hidden.lock().unwrap().contains(topic.name()));
        Ok(topics)
    }

    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        self.broker.publish(topic, batch).await
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

#[tokio::test(start_paused = true)]
async fn the_inbox_of_a_deleted_topic_ends_and_does_not_declare_it_again() {
    let (broker, hidden, fails) = (InProcess::new(), Arc::default(), Arc::new(AtomicBool::new(false)));
    let declared = Arc::new(AtomicUsize::new(0));
    let world = World::new(Hiding {
        broker: broker.connect(),
        hidden: Arc::clone(&hidden),
        fails: Arc::clone(&fails),
        declared: Arc::clone(&declared),
    });
    let relays = [publish(&world, "a"), publish(&world, "b")];
    world.place("a", [0]).await;
    world.place("b", [0]).await;
    let recount = world.ledgers();
    let running = service(&world, &recount).unannounced().subscribe_matching(orders_of(), enters(&world)).start();
    world.becomes("a", &[0]).await;
    world.becomes("b", &[0]).await;
    // A list that fails ends nothing, however long.
    fails.store(true, Ordering::Relaxed);
    let other = world.ledgers();
    let started_in_it = service(&world, &other)
        .unannounced()
        .subscribe_matching(TopicPattern::new("none-*").unwrap(), enters(&world))
        .start();
    sleep(Duration::from_secs(600)).await;
    world.place("a", [1]).await;
    world.becomes("a", &[0, 1]).await;
    assert_eq!(inboxes(&recount).await.len(), 2);
    assert!(!started_in_it.progress()[0].is_over());
    fails.store(false, Ordering::Relaxed);
    live(&started_in_it).await;
    drop(started_in_it);
    sleep(Duration::from_secs(60)).await;
    hidden.lock().unwrap().insert("orders-b".to_owned());
    broker.faults().cut_connections();
    sleep(Duration::from_secs(40)).await;
    assert_eq!(inboxes(&recount).await, ["ledgers/orders-a"]);
    assert_eq!(declared.load(Ordering::Relaxed), 0, "it is not declared again");
    assert_eq!(recount.health().await.status, Condition::Ok);
    // It is found again.
    hidden.lock().unwrap().clear();
    world.place("b", [1]).await;
    world.becomes("b", &[0, 1]).await;
    // Messages that wait for an operator keep it in the health.
    world.plan.fail("b", 2, common::Fail::Permanently);
    world.place("b", [2, 3]).await;
    world.parked(1).await;
    hidden.lock().unwrap().insert("orders-b".to_owned());
    broker.faults().cut_connections();
    sleep(Duration::from_secs(600)).await;
    let health = recount.health().await;
    assert_ne!(health.status, Condition::Ok);
    let told = health.checks.iter().filter_map(|check| check.message.as_deref());
    assert!(
        told.into_iter()
            .any(|text| text.contains("orders-b is not at the broker any more, and 2 of its messages wait"))
    );
    hidden.lock().unwrap().clear();
    world.plan.heal();
    sleep(Duration::from_secs(30)).await;
    world.dead().redrive_all(None, "").await.unwrap();
    world.becomes("b", &[0, 1, 2, 3]).await;
    assert_eq!(recount.health().await.status, Condition::Ok);
    drop((running, relays));
}

//! Observers that listen for long: clocks that are set back, many instances, and outages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::World;
use common::presence::{WHILE, binding, in_each_profile, observer, service, started, states};
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Drained, Fate, InProcess, Message, MessageId,
    Observer, Outgoing, Plan, Presence, Profile, Room, Seek, Service, Settle, Settled, Signal, Ticket, Topic,
};
use serde_json::{Value, json};

/// The data of an announcement of this instance, without a sequence and a time.
fn announcement(world: &World, instance: &str) -> Value {
    let service = Service::new(world.orders(), Arc::clone(&world.broker), "orders").unwrap();
    let manifest = service.instance(instance).unwrap().manifest().clone();
    json!({"manifest": manifest, "health": {"status": "ok", "checks": []}, "interval_ms": 10_000})
}

async fn publish(broker: &InProcess, announcements: impl IntoIterator<Item = Value>) {
    let messages = announcements.into_iter().map(|data| {
        let id = MessageId::new(id_of(&data)).unwrap();
        Outgoing::from(Message::new(id, "orders", "recount.presence", data.to_string()))
    });
    let fates = broker.publish(&binding("any").topic, messages.collect()).await;
    assert!(fates.iter().all(Fate::is_stored), "{fates:?}");
}

fn id_of(data: &Value) -> String {
    format!("{}-{}", data["manifest"]["instance"].as_str().unwrap(), data["sequence"])
}

async fn with_topic(broker: &InProcess) {
    broker.ensure(&Plan { topics: vec![binding("any").topic], bindings: vec![] }, false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_observer_listens_without_a_limit() {
    let broker = InProcess::with_profile(Profile::Nats);
    let world = World::new(broker.connect());
    let running = started(service(&world, &world.orders())).await;
    tokio::time::sleep(WHILE).await;
    let mut observer = observer(&broker).await;
    observer.observe(Duration::MAX).await.unwrap();
    assert_eq!(states(&observer.directory()), [Presence::Present]);
    drop(running);
}

/// The clock of a running service is set back, at a broker that does not say when it stored a message.
#[tokio::test(start_paused = true)]
async fn an_instance_whose_clock_is_set_back_stays_present() {
    let broker = InProcess::with_profile(Profile::RabbitMq);
    let world = World::new(broker.connect());
    with_topic(&broker).await;
    let mut observer = Observer::open(Arc::new(Undated(broker.connect()))).await.unwrap();
    let mut data = announcement(&world, "host-1");
    let times = ["12:00:00", "12:00:10", "11:50:20", "11:50:30", "11:50:40", "11:50:50", "11:51:00"];
    for (time, sequence) in times.into_iter().zip(1..) {
        data["announced_at"] = json!(format!("2026-11-29T{time}Z"));
        data["sequence"] = json!(sequence);
        publish(&broker, [data.clone()]).await;
        observer.observe(Duration::from_secs(10)).await.unwrap();
    }
    assert_eq!(states(&observer.directory()), [Presence::Present]);
    // After a restart the sequence begins anew, and the goodbye of the new run counts.
    data["announced_at"] = json!("2026-11-29T11:51:10Z");
    (data["sequence"], data["goodbye"]) = (json!(0), json!(true));
    publish(&broker, [data]).await;
    observer.observe(Duration::from_secs(10)).await.unwrap();
    assert_eq!(states(&observer.directory()), [Presence::Gone]);
}

/// Each start of a job makes a new instance.
#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_new_instances_after_ten_thousand_that_ended() {
    let broker = InProcess::with_profile(Profile::Nats);
    let world = World::new(broker.connect());
    with_topic(&broker).await;
    let mut observer = observer(&broker).await;
    let job = announcement(&world, "job");
    for part in 0..20 {
        let jobs = (0..500).map(|number| {
            let mut data = job.clone();
            data["manifest"]["instance"] = json!(format!("job-{part}-{number}"));
            (data["sequence"], data["announced_at"]) = (json!(1), json!("2026-11-29T12:00:00Z"));
            // Some were shut down, and others were killed.
            data["goodbye"] = json!(number % 2 == 0);
            data
        });
        publish(&broker, jobs).await;
        observer.observe(Duration::from_secs(20)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    assert_eq!(observer.directory().instances.len(), 10_000);
    let running = started(service(&world, &world.orders()).instance("host-1").unwrap()).await;
    observer.observe(Duration::from_secs(60)).await.unwrap();
    let directory = observer.directory();
    let present: Vec<_> = directory.in_state(Presence::Present).map(|it| &*it.manifest.instance).collect();
    assert_eq!((present, directory.ignored), (vec!["host-1"], 0));
    let kept = |part: usize| {
        let job = format!("job-{part}-");
        directory.instances.iter().filter(|it| it.manifest.instance.starts_with(&job)).count()
    };
    assert_eq!((kept(0), kept(1), kept(19)), (0, 0, 500), "the oldest ones are forgotten");
    drop(running);
}

/// The broker removes the group of an observer in an outage that is longer than the group's expiry.
#[test]
fn an_observer_goes_on_after_a_long_outage() {
    in_each_profile(async |world, broker| {
        let running = started(service(&world, &world.orders())).await;
        let mut observer = observer(&broker).await;
        observer.observe(WHILE).await.unwrap();
        observer.observe(WHILE).await.unwrap();
        broker.faults().kill();
        let (start, outage) = (tokio::time::Instant::now(), Duration::from_secs(180));
        observer.observe(outage).await.unwrap();
        assert!(start.elapsed() <= outage + Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(states(&observer.directory()), [Presence::Expired]);
        broker.faults().start();
        observer.observe(Duration::from_secs(60)).await.unwrap();
        assert_eq!(states(&observer.directory()), [Presence::Present]);
        drop(running);
    });
}

/// A broker that does not say when it stored a message.
struct Undated(InProcess);

struct UndatedConsumer(Box<dyn BrokerConsumer>);

#[async_trait::async_trait]
impl Broker for Undated {
    fn system(&self) -> &'static str {
        self.0.system()
    }
    fn capabilities(&self, binding: &Binding) -> Capabilities {
        self.0.capabilities(binding)
    }
    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        self.0.ensure(plan, dry_run).await
    }
    async fn publish(&self, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
        self.0.publish(topic, batch).await
    }
    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        Ok(Box::new(UndatedConsumer(self.0.subscribe(binding).await?)))
    }
    async fn health(&self) -> Result<(), BrokerError> {
        self.0.health().await
    }
    async fn close(&self, within: Duration) {
        self.0.close(within).await;
    }
}

#[async_trait::async_trait]
impl BrokerConsumer for UndatedConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        let mut signal = self.0.next(room).await?;
        if let Signal::Deliveries(deliveries) = &mut signal {
            deliveries.iter_mut().for_each(|delivery| delivery.published_at = None);
        }
        Ok(signal)
    }
    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        self.0.settle(marks).await
    }
    async fn extend(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled> {
        self.0.extend(held, by).await
    }
    async fn seek(&mut self, to: Seek) -> Result<(), BrokerError> {
        self.0.seek(to).await
    }
    async fn drain(self: Box<Self>, within: Duration) -> Drained {
        self.0.drain(within).await
    }
}

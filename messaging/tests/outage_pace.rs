//! A broker that fails at once is not called again and again, and its inbox is not live.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::{World, live};
use recount_core::Status;
use recount_messaging::{
    Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Drained, Fate, InProcess, Outgoing, Plan, Room,
    Seek, Settle, Settled, Signal, Ticket, Topic,
};

#[derive(Clone, Default)]
struct Outage {
    on: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    /// The server is frozen: consumers fail once and are idle then, with their next request unanswered.
    frozen: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    /// A round trip to a frozen server hangs. Else it fails at once.
    hangs: bool,
    round_trips: Arc<AtomicUsize>,
}

fn refused() -> BrokerError {
    BrokerError::Unavailable { operation: "consuming", source: "connection refused".into() }
}

/// A broker with consumers that fail during the outage.
struct Failing(Arc<dyn Broker>, Outage);

#[async_trait]
impl Broker for Failing {
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
        Ok(Box::new(FailingConsumer(self.0.subscribe(binding).await?, self.1.clone())))
    }

    async fn health(&self) -> Result<(), BrokerError> {
        if self.1.frozen.load(Ordering::Relaxed) {
            self.1.round_trips.fetch_add(1, Ordering::Relaxed);
            if self.1.hangs {
                std::future::pending::<()>().await;
            }
            return Err(refused());
        }
        self.0.health().await
    }

    async fn close(&self, within: Duration) {
        self.0.close(within).await;
    }
}

struct FailingConsumer(Box<dyn BrokerConsumer>, Outage);

#[async_trait]
impl BrokerConsumer for FailingConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        if self.1.on.load(Ordering::Relaxed) {
            self.1.calls.fetch_add(1, Ordering::Relaxed);
            return Err(refused());
        }
        if self.1.frozen.load(Ordering::Relaxed) {
            if !self.1.failed.swap(true, Ordering::Relaxed) {
                return Err(refused());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Ok(Signal::Idle);
        }
        self.0.next(room).await
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

#[tokio::test(start_paused = true)]
async fn a_broker_that_fails_at_once_is_called_after_growing_pauses() {
    let outage = Outage::default();
    let world = World::new(Failing(Arc::new(InProcess::new().connect()), outage.clone()));
    let running = (world.inbox(world.subscriber()), world.relay());
    live(&running.0).await;
    outage.on.store(true, Ordering::Relaxed);
    let mut live_looks = 0;
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        live_looks += usize::from(running.0.progress().iter().any(|progress| progress.status == Status::Live));
    }
    let calls = outage.calls.load(Ordering::Relaxed);
    assert!((20..200).contains(&calls), "{calls} calls in a minute");
    // The call that was under way at the beginning of the outage ended in order.
    assert!(live_looks < 20, "live for {live_looks} of 600 looks");
    outage.on.store(false, Ordering::Relaxed);
    world.place("a", 0..3).await;
    world.becomes("a", &[0, 1, 2]).await;
    live(&running.0).await;
}

#[tokio::test(start_paused = true)]
async fn an_inbox_whose_consumer_is_idle_at_a_frozen_broker_is_live_once_the_broker_answers() {
    for hangs in [false, true] {
        let outage = Outage { hangs, ..Outage::default() };
        let world = World::new(Failing(Arc::new(InProcess::new().connect()), outage.clone()));
        let running = world.inbox(world.subscriber());
        live(&running).await;
        outage.frozen.store(true, Ordering::Relaxed);
        while !outage.failed.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let progress = running.progress();
            assert!(progress.iter().all(|progress| progress.status != Status::Live), "{progress:?}");
        }
        let round_trips = outage.round_trips.load(Ordering::Relaxed);
        assert!((5..60).contains(&round_trips), "{round_trips} round trips in a minute");
        outage.frozen.store(false, Ordering::Relaxed);
        // Nothing is published: the answer alone ends the outage.
        tokio::time::timeout(Duration::from_secs(15), live(&running)).await.expect("the broker answers");
        let relay = world.relay();
        world.place("a", 0..3).await;
        world.becomes("a", &[0, 1, 2]).await;
        drop((running, relay));
    }
}

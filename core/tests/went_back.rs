//! A store goes back to a backup at any moment and grows again: its consumers stop, or handle each event that it has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::saving::everything;
use common::*;
use recount_core::{
    Activity, Append, BoxError, Call, Commands, Consumers, Event, EventData, EventId, EventStore, EventType,
    ExpectedVersion, InMemory, Position, Projection, Reaction, RecordedEvent, Recount, Sink, StreamId,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};

/// The ids of the handled events. Handlers take some time for some of them.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<BTreeSet<EventId>>>);

impl Handled {
    async fn take(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        let slow = recorded.position.get().is_multiple_of(3);
        tokio::time::sleep(Duration::from_millis(if slow { 700 } else { 0 })).await;
        self.0.lock().unwrap().insert(recorded.data.id);
        Ok(())
    }

    fn ids(&self) -> BTreeSet<EventId> {
        self.0.lock().unwrap().clone()
    }
}

impl Reaction for Handled {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        "handled"
    }

    async fn on(&self, _: &AccountEvent, recorded: &RecordedEvent) -> Result<Commands, BoxError> {
        self.take(recorded).await?;
        Ok(Commands::none())
    }
}

struct Calling(Handled);

impl Activity for Calling {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        "handled"
    }

    async fn call(&self, _: &AccountEvent, call: &Call<'_>) -> Result<Commands, BoxError> {
        self.0.take(call.recorded).await?;
        Ok(Commands::none())
    }
}

struct Sinking(Handled);

impl Sink for Sinking {
    type Item = RecordedEvent;

    async fn take(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        self.0.take(recorded).await
    }
}

struct Projecting(Handled);

impl Projection for Projecting {
    type Event = AccountEvent;
    type ReadModel = InMemory;

    fn name(&self) -> &str {
        "handled"
    }

    async fn on(&self, _: &AccountEvent, recorded: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        self.0.take(recorded).await
    }
}

const KINDS: [&str; 4] = ["reaction", "activity", "sink", "projection"];

fn start(recount: &Recount, kind: &str, handled: &Handled) -> Consumers {
    let consumers = recount.consumers();
    let handled = handled.clone();
    match kind {
        "reaction" => consumers.reaction(handled),
        "activity" => consumers.activity(Calling(handled)),
        "sink" => consumers.consumer("handled", recount.source("handled", AccountEvent::query()), Sinking(handled)),
        _ => consumers.projection(Projecting(handled), InMemory::new()),
    }
    .start()
}

async fn deposits(store: &MemoryStore, count: u64) {
    for n in 0..count {
        elsewhere(store, &format!("a{}", n % 3), &[AccountEvent::Deposited { cents: 1 }]).await;
    }
}

/// An event that no consumer selects.
async fn unselected(store: &MemoryStore) {
    let event = EventData::new(EventType::new("other.happened").unwrap(), &b"{}"[..]);
    let stream = StreamId::new("other", "x").unwrap();
    store.append(Append::to(stream, ExpectedVersion::Any, vec![event])).await.unwrap();
}

/// The consumer has stopped, or has handled the events that exist, and no others.
async fn check(running: &Consumers, store: &MemoryStore, handled: &Handled, what: &str) {
    let progress = running.progress().remove(0);
    if progress.is_over() {
        return;
    }
    let all = everything(store).await;
    let selected = |event: &&RecordedEvent| event.stream.category() == "account";
    let (there, handled): (BTreeSet<_>, _) = (all.iter().filter(selected).map(|e| e.data.id).collect(), handled.ids());
    let missed = there.difference(&handled).count();
    let lost = handled.difference(&there).count();
    assert_eq!((missed, lost), (0, 0), "(missed, lost): {what}: {progress:?}");
}

struct Script {
    random: fastrand::Rng,
    store: MemoryStore,
    mixed: bool,
}

impl Script {
    async fn pause(&mut self) {
        let most = [1, 10, 200, 1500, 6000][self.random.usize(0..5)];
        tokio::time::sleep(Duration::from_millis(self.random.u64(0..most))).await;
    }

    async fn grow(&mut self, most: u64) {
        for _ in 0..self.random.u64(0..most) {
            if self.mixed && self.random.u8(0..4) == 0 {
                unselected(&self.store).await;
            } else {
                let name = format!("a{}", self.random.u8(0..3));
                elsewhere(&self.store, &name, &[AccountEvent::Deposited { cents: 1 }]).await;
            }
            if self.random.u8(0..4) == 0 {
                self.pause().await;
            }
        }
    }
}

/// Backups, restores and appends at moments drawn by seeds.
#[tokio::test(start_paused = true)]
async fn at_any_moment() {
    for seed in 0..150 {
        for kind in KINDS {
            let store = MemoryStore::new();
            let recount = Recount::new(store.clone());
            let handled = Handled::default();
            let mut script =
                Script { random: fastrand::Rng::with_seed(seed), store: store.clone(), mixed: seed % 2 == 0 };
            script.grow(10).await;
            let running = start(&recount, kind, &handled);
            script.pause().await;
            let backup = store.backup().unwrap();
            script.grow(10).await;
            script.pause().await;
            let is_reading = running.progress()[0].position < store.head().await.unwrap();
            store.restore(&backup).unwrap();
            script.pause().await;
            if is_reading {
                // Within a read the store is compared once a second.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            script.grow(25).await;
            tokio::time::sleep(Duration::from_secs(120)).await;
            check(&running, &store, &handled, &format!("seed {seed}, {kind}")).await;
        }
    }
}

/// The reader is woken for events that are gone when it reads. Those that come in their place are not passed over.
#[tokio::test(start_paused = true)]
async fn between_the_wake_up_and_the_read() {
    for kind in KINDS {
        for pause in [1, 20, 90, 150, 500, 900, 1100, 2500].map(Duration::from_millis) {
            let (recount, store) = bank();
            let handled = Handled::default();
            deposits(&store, 5).await;
            let running = start(&recount, kind, &handled);
            tokio::time::sleep(Duration::from_millis(2500)).await;
            let backup = store.backup().unwrap();
            deposits(&store, 3).await;
            store.restore(&backup).unwrap();
            tokio::time::sleep(pause).await;
            deposits(&store, 4).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            check(&running, &store, &handled, &format!("{kind}, {pause:?}")).await;
            assert!(!running.progress()[0].is_over(), "no lost event was read: {:?}", running.progress());
        }
    }
}

/// The same on threads, over a store that takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_the_wake_up_and_a_slow_read() {
    for operation in [Operation::ReadAll, Operation::EventAt, Operation::Head] {
        let inner = MemoryStore::new();
        let store = FaultyStore::new(inner.clone());
        let recount = Recount::new(store.clone());
        let handled = Handled::default();
        deposits(&inner, 5).await;
        let running = start(&recount, "projection", &handled);
        running.wait_for(Position::new(5)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        store.fail_always(operation, Fault::Delay(Duration::from_millis(50)));
        let backup = inner.backup().unwrap();
        deposits(&inner, 3).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        inner.restore(&backup).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        deposits(&inner, 4).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        check(&running, &inner, &handled, &format!("{operation:?}")).await;
    }
}

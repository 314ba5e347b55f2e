//! From a service's events to the effects in another service, by programs that die with their in-process broker. Time is
//! virtual.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Fail, World};
use recount_messaging::InProcess;
use recount_store_memory::MemoryStore;
use tokio::time::sleep;

/// The broker of a new program.
async fn open(store: &Arc<MemoryStore>) -> InProcess {
    InProcess::durable(store.clone()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_the_relay_has_published_takes_effect_once_after_the_program_died() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::new(open(&store).await);
    let inbox = world.inbox(world.subscriber());
    world.place("a", [0]).await;
    let relay = world.relay();
    world.becomes("a", &[0]).await;
    inbox.shutdown().await;

    // The relay has stored its checkpoint behind all events, and no inbox has handled them.
    world.place("a", 1..20).await;
    world.place("b", 0..20).await;
    sleep(Duration::from_secs(10)).await;
    drop(relay);
    world.broker = Arc::new(InProcess::new());
    world.broker = Arc::new(open(&store).await);
    let running = (world.inbox(world.subscriber()), world.relay());
    let all: Vec<u32> = (0..20).collect();
    world.becomes("a", &all).await;
    world.becomes("b", &all).await;
    // Nothing more comes.
    sleep(Duration::from_secs(120)).await;
    assert_eq!((world.entered("a").await, world.entered("b").await), (all.clone(), all));
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn programs_that_die_again_and_again_keep_the_order_and_effects_of_each_key() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::new(open(&store).await);
    for round in 0..20_u32 {
        let running = (world.inbox(world.subscriber()), world.relay());
        for order in ["a", "b", "c"] {
            world.place(order, round * 10..(round + 1) * 10).await;
        }
        sleep(Duration::from_millis(u64::from(round) * 37)).await;
        drop(running);
        world.broker = Arc::new(InProcess::new());
        world.broker = Arc::new(open(&store).await);
    }
    let running = (world.inbox(world.subscriber()), world.relay());
    let all: Vec<u32> = (0..200).collect();
    for order in ["a", "b", "c"] {
        world.becomes(order, &all).await;
    }
    sleep(Duration::from_secs(120)).await;
    for order in ["a", "b", "c"] {
        assert_eq!(world.entered(order).await, all, "{order}");
    }
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_kills_its_programs_becomes_a_dead_letter() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::new(open(&store).await);
    world.plan.fail("a", 0, Fail::Hang);
    world.place("a", 0..1).await;
    for _ in 0..8 {
        let running = (world.inbox(world.subscriber()), world.relay());
        sleep(Duration::from_secs(2)).await;
        drop(running);
        world.broker = Arc::new(InProcess::new());
        world.broker = Arc::new(open(&store).await);
    }
    let running = (world.inbox(world.subscriber()), world.relay());
    assert_eq!(world.parked(1).await.len(), 1);
    drop(running);
}

//! A simulation: many orders, two programs that run the process, and mishaps at random, all by a seed.
//!
//! It needs a runtime with one thread and paused time, and a store with tokio's clock. The same seed then gives the same log.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use recount_core::InstanceState::{Compensated, Ended, Stuck};
use recount_core::Store;

use super::oracle::{check, check_history, signature};
use super::scenario::Scenario;
use super::world::{Program, World};
use crate::{Call, Fault, FaultyStore};

/// How long mishaps happen.
const UNSAFE_TIME: Duration = Duration::from_secs(4);
/// How long all orders may take once no more mishaps happen.
const HEALED_LIMIT: Duration = Duration::from_secs(60);
/// The orders of a run.
const ORDERS: u64 = 6;

/// Runs the simulation of a seed, and checks every order. Returns the log without ids and times.
///
/// # Panics
/// If an order does not end in time, or its log breaks a promise.
pub async fn run(store: Arc<dyn Store>, seed: u64) -> String {
    // The pauses between attempts are drawn from the generator of the thread.
    fastrand::seed(seed);
    let mut random = Rng::with_seed(seed);
    let world = World::new(Arc::new(FaultyStore::waking_in_order(store)));
    let stories: Vec<_> = (1..=ORDERS)
        .map(|order| {
            let scenario = Scenario::ALL[random.usize(..Scenario::ALL.len())];
            customer(&world, order, scenario, random.fork())
        })
        .collect();
    let operator = operator(&world);
    let runners = async {
        let unsafe_time = join_all([runner(&world, random.fork()), runner(&world, random.fork())]);
        let _ = tokio::time::timeout(UNSAFE_TIME, unsafe_time).await;
        // From here on everything works, and must come to an end.
        let programs = [world.program(), world.program()];
        for order in 1..=ORDERS {
            let over = async || matches!(world.state(order).await, Some(Ended | Compensated));
            if !world.looks(HEALED_LIMIT, over).await {
                check_history(&world, order).await;
                panic!("order {order} is {:?}:\n{}", world.status(order).await, world.log(order).await);
            }
        }
        for program in programs {
            program.assert_alive();
            program.shut_down().await;
        }
    };
    tokio::select! {
        biased;
        () = runners => {}
        () = async { tokio::join!(join_all(stories), operator); } => {}
    }
    for order in 1..=ORDERS {
        check(&world, order).await;
    }
    signature(&world).await
}

/// A customer, and the warehouse: they act at random times.
async fn customer(world: &World, order: u64, scenario: Scenario, mut random: Rng) {
    pause(&mut random, 2000).await;
    if !matches!(scenario, Scenario::Restocked | Scenario::OutOfStock) {
        world.fill(order, 1000).await;
    }
    world.place(order, scenario.pieces()).await;
    for _ in 0..random.usize(..3) {
        pause(&mut random, 400).await;
        world.note(order).await;
    }
    pause(&mut random, 600).await;
    match scenario {
        Scenario::Restocked => world.fill(order, 1000).await,
        Scenario::PaidByHand => world.pay(order).await,
        Scenario::Extended => world.extend(order).await,
        Scenario::Cancelled => world.cancel(order).await,
        _ => {}
    }
    // Any order may be cancelled at any time, and a note comes whenever it comes.
    if random.u8(..4) == 0 && scenario != Scenario::PaidByHand {
        pause(&mut random, 300).await;
        world.cancel(order).await;
    }
    pause(&mut random, 2000).await;
    world.note(order).await;
}

/// The operator looks after stuck orders.
async fn operator(world: &World) {
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        for order in 1..=ORDERS {
            if world.state(order).await == Some(Stuck) {
                world.fill(order, 0).await;
                world.permit_refund(order).await;
                world.redrive(order).await;
            }
        }
    }
}

/// Runs programs one after the other. Each has faults, and at one of its calls it dies, or pauses for a while.
async fn runner(world: &World, mut random: Rng) {
    loop {
        let faults = world.faults();
        faults.fail_each(chooser(random.fork()));
        let program = Program::start(faults.clone());
        let natural_end = Duration::from_millis(random.u64(200..2000));
        if tokio::time::timeout(natural_end, faults.paused()).await.is_ok() && random.bool() {
            // It goes on later, and comes too late for some things.
            pause(&mut random, 1500).await;
            faults.release();
            pause(&mut random, 500).await;
        } else {
            pause(&mut random, 150).await;
        }
        program.die();
        if random.u8(..4) == 0 {
            pause(&mut random, 300).await;
        }
    }
}

/// Chooses the faults of a program's calls.
fn chooser(mut random: Rng) -> impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static {
    let mut before_pause = random.u32(1..150);
    // A quarter of the programs has no other fault.
    let faulty = random.u8(..4) > 0;
    move |_| {
        before_pause = before_pause.saturating_sub(1);
        if before_pause == 1 {
            return Some(if random.bool() { Fault::PauseBefore } else { Fault::PauseAfter });
        }
        if !faulty {
            return None;
        }
        match random.u8(..40) {
            0 => Some(Fault::Before),
            1 => Some(Fault::After),
            2 => Some(Fault::Delay(delay(&mut random))),
            3 => Some(Fault::DelayAnswer(delay(&mut random))),
            _ => None,
        }
    }
}

fn delay(random: &mut Rng) -> Duration {
    Duration::from_millis(random.u64(1..60))
}

async fn pause(random: &mut Rng, longest: u64) {
    tokio::time::sleep(Duration::from_millis(random.u64(..longest))).await;
}

//! Two services over the in-process broker in all its profiles, with mishaps at random, by seeds.
//!
//! `RECOUNT_SEED=…` runs one seed and prints its log; `RECOUNT_SEEDS=…` sets how many are run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;
#[path = "common/simulated/mod.rs"]
mod simulated;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 1000;
const THREADS: u64 = 2;

fn simulate(seed: u64) -> String {
    simulated::quiet_panics();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(simulated::run(seed))
}

/// Simulates the seeds that are drawn from a counter, up to the first that fails.
fn simulate_all(next: &AtomicU64, seeds: u64) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| simulate(seed))) {
            next.store(seeds, Ordering::Relaxed);
            println!(
                "seed {seed} failed; to run it again: \
                 RECOUNT_SEED={seed} cargo test -p recount-messaging --test simulation -- --nocapture"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn every_seed_keeps_the_promises() {
    if let Some(seed) = setting("RECOUNT_SEED") {
        println!("{}", simulate(seed));
        return;
    }
    let (next, seeds) = (AtomicU64::new(0), setting("RECOUNT_SEEDS").unwrap_or(SEEDS));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| simulate_all(&next, seeds))).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[test]
fn a_seed_gives_the_same_log_again() {
    for seed in 1..=14 {
        let (first, second) = (simulate(seed), simulate(seed));
        assert!(first.lines().count() > 30, "{first}");
        let differ = first.lines().zip(second.lines()).find(|(first, second)| first != second);
        assert!(first == second, "seed {seed} gives another log the second time: {differ:?}");
    }
}

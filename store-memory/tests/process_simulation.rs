//! Many orders and two programs that run their process, with mishaps at random, by seeds. `RECOUNT_SEED=…` runs one seed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use recount_store_memory::MemoryStore;
use recount_testing::process::simulation;

const SEEDS: u64 = 1200;
const THREADS: u64 = 2;

fn simulate(seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(simulation::run(Arc::new(MemoryStore::new()), seed))
}

/// Simulates the seeds that are drawn from a counter, up to the first that fails.
fn simulate_all(next: &AtomicU64) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= SEEDS {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| simulate(seed))) {
            next.store(SEEDS, Ordering::Relaxed);
            println!(
                "seed {seed} failed; to run it again: \
                 RECOUNT_SEED={seed} cargo test -p recount-store-memory --test process_simulation -- --nocapture"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn every_seed_keeps_the_promises() {
    if let Ok(seed) = std::env::var("RECOUNT_SEED") {
        println!("{}", simulate(seed.parse().unwrap()));
        return;
    }
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| simulate_all(&next))).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[test]
fn a_seed_gives_the_same_log_again() {
    for seed in [1, 2, 3, 4, 5] {
        let first = simulate(seed);
        assert!(first.lines().count() > 60, "{first}");
        let second = simulate(seed);
        let differ = first.lines().zip(second.lines()).find(|(first, second)| first != second);
        assert!(first == second, "seed {seed} gives another log the second time: {differ:?}");
    }
}

//! The Postgres store answers as the memory store does, whatever it is asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use recount_store_memory::MemoryStore;
use recount_testing::model;

#[tokio::test]
async fn the_store_agrees_with_the_memory_store() {
    for seed in 0..2 {
        let fresh = common::Fresh::new().await;
        let outcomes = model::run(seed, 300, &MemoryStore::new(), &fresh.store().await).await;
        assert!(outcomes["append"] > 30 && !outcomes.contains_key("failed"), "{outcomes:?}");
    }
}

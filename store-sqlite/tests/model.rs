//! The SQLite store answers as the memory store does, whatever it is asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use recount_store_memory::MemoryStore;
use recount_store_sqlite::SqliteStore;
use recount_testing::model;
use tempfile::TempDir;

#[tokio::test]
async fn the_store_agrees_with_the_memory_store() {
    for seed in 0..6 {
        let directory = TempDir::new().unwrap();
        let store = SqliteStore::open(directory.path().join("events.db")).await.unwrap();
        let outcomes = model::run(seed, 500, &MemoryStore::new(), &store).await;
        assert!(outcomes["append"] > 50 && !outcomes.contains_key("failed"), "{outcomes:?}");
    }
}

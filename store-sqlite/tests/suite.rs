//! The SQLite store keeps the promises of every store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::sync::Arc;

use async_trait::async_trait;
use recount_core::Store;
use recount_store_sqlite::SqliteStore;
use recount_testing::store::support::taken_without_waiting;
use recount_testing::store::{Capabilities, Harness};
use tempfile::TempDir;

struct Sqlite(TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }
}

#[async_trait]
impl Harness for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.0.path().join("events.db")).await.unwrap())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, instances: true }
    }
}

recount_testing::store_suite!(Sqlite::new());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_page_is_read_while_one_is_taken() {
    let sqlite = Sqlite::new();
    let taken = taken_without_waiting(&*sqlite.open().await).await;
    assert!(taken > 32, "nothing was there behind the first page, of {taken} events");
}

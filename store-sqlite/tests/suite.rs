//! The SQLite store keeps the promises of every store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::sync::Arc;

use async_trait::async_trait;
use recount_core::Store;
use recount_store_sqlite::SqliteStore;
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

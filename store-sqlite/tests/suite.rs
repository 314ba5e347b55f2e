//! The SQLite store keeps the promises of every store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_core::{InMemory, Store};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use recount_testing::store::probe::{Model, Target};
use recount_testing::store::support::taken_without_waiting;
use recount_testing::store::{Capabilities, Harness};
use sqlx::Connection;
use tempfile::TempDir;

struct Sqlite(TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[async_trait]
impl Harness for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.path("events.db")).await.unwrap())
    }

    async fn open_another(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.path("another.db")).await.unwrap())
    }

    async fn open_with_read_models(&self) -> (Arc<dyn Store>, Vec<Box<dyn Target>>) {
        let store = SqliteStore::builder(self.path("events.db")).patience(Duration::from_secs(1)).open().await.unwrap();
        let file = SqliteReadModel::open(self.path("model.db")).await.unwrap();
        let models = vec![
            Model::own("the store's file", store.read_model()),
            Model::elsewhere("a file of its own", file),
            Model::elsewhere("in memory", InMemory::new()),
        ];
        (Arc::new(store), models)
    }

    async fn save(&self) {
        let mut shell = common::shell(&self.path("events.db")).await;
        let copy = self.path("copy.db").display().to_string();
        sqlx::query("VACUUM INTO ?").bind(copy).execute(&mut shell).await.unwrap();
        shell.close().await.unwrap();
    }

    async fn restore(&self) {
        common::restore(&self.path("events.db"), &self.path("copy.db")).await;
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, instances: true }
    }
}

recount_testing::store_suite!(Sqlite::new());
recount_testing::process_suite!(Sqlite::new());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_page_is_read_while_one_is_taken() {
    let sqlite = Sqlite::new();
    let taken = taken_without_waiting(&*sqlite.open().await).await;
    assert!(taken > 32, "nothing was there behind the first page, of {taken} events");
}

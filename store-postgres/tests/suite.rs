//! The Postgres store keeps the promises of every store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use recount_core::{InMemory, Store};
use recount_store_postgres::PostgresReadModel;
use recount_testing::store::probe::{Model, Target};
use recount_testing::store::support::taken_without_waiting;
use recount_testing::store::{Capabilities, Harness};

/// The store's database, and another one for read models.
struct Postgres(common::Fresh, common::Fresh);

impl Postgres {
    async fn new() -> Self {
        Self(common::Fresh::new().await, common::Fresh::new().await)
    }
}

#[async_trait]
impl Harness for Postgres {
    async fn open_another(&self) -> Arc<dyn Store> {
        Arc::new(self.0.another().await)
    }

    async fn save(&self) {
        self.0.save().await;
    }

    async fn restore(&self) {
        self.0.restore().await;
    }

    async fn open_with_read_models(&self) -> (Arc<dyn Store>, Vec<Box<dyn Target>>) {
        let store = self.0.store().await;
        let elsewhere = PostgresReadModel::open(&self.1.url()).await.unwrap();
        let models = vec![
            Model::own("the store's database", store.read_model()),
            Model::elsewhere("another database", elsewhere),
            Model::elsewhere("in memory", InMemory::new()),
        ];
        (Arc::new(store), models)
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.store().await)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, instances: true }
    }
}

recount_testing::store_suite!(Postgres::new().await);
recount_testing::process_suite!(Postgres::new().await);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_page_is_read_while_one_is_taken() {
    let postgres = Postgres::new().await;
    let taken = taken_without_waiting(&*postgres.open().await).await;
    assert!(taken > 32, "nothing was there behind the first page, of {taken} events");
}

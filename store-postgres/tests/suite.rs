//! The Postgres store keeps the promises of every store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use recount_core::Store;
use recount_testing::store::support::taken_without_waiting;
use recount_testing::store::{Capabilities, Harness};

struct Postgres(common::Fresh);

#[async_trait]
impl Harness for Postgres {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.store().await)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, instances: true }
    }
}

recount_testing::store_suite!(Postgres(common::Fresh::new().await));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_page_is_read_while_one_is_taken() {
    let postgres = Postgres(common::Fresh::new().await);
    let taken = taken_without_waiting(&*postgres.open().await).await;
    assert!(taken > 32, "nothing was there behind the first page, of {taken} events");
}

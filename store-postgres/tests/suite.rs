//! The Postgres store keeps the promises of every store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use recount_core::Store;
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

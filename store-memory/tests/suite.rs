//! The memory store keeps the promises of every store.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use recount_core::Store;
use recount_store_memory::MemoryStore;
use recount_testing::store::Harness;

#[derive(Default)]
struct Memory {
    store: MemoryStore,
    copy: Mutex<Option<MemoryStore>>,
}

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }
    async fn open_another(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }
    async fn save(&self) {
        *self.copy.lock().unwrap() = Some(self.store.backup().unwrap());
    }
    async fn restore(&self) {
        self.store.restore(self.copy.lock().unwrap().as_ref().unwrap()).unwrap();
    }
}

/// Runs a promise on one thread whose time is paused: waits take no time.
fn in_virtual_time<H: Harness>(harness: impl Future<Output = H>, promise: impl AsyncFnOnce(&dyn Harness)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { promise(&harness.await).await });
}

recount_testing::store_suite!(Memory::default());
recount_testing::process_suite!(Memory::default(), by in_virtual_time);

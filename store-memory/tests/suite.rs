//! The memory store keeps the promises of every store.

use std::sync::Arc;

use async_trait::async_trait;
use recount_core::Store;
use recount_store_memory::MemoryStore;
use recount_testing::store::Harness;

struct Memory(MemoryStore);

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }
}

recount_testing::store_suite!(Memory(MemoryStore::new()));

//! The read model in memory keeps the promises of every read model.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::sync::{Arc, Mutex, PoisonError};

use recount_core::{BoxError, InMemory, Store};
use recount_store_memory::MemoryStore;
use recount_testing::read_model::Harness;

#[derive(Default)]
struct Memory {
    model: InMemory,
    written: Mutex<Vec<u64>>,
}

impl Harness for Memory {
    type Model = InMemory;

    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }

    async fn open(&self) -> InMemory {
        self.model.clone()
    }

    async fn prepare(&self, (): &mut ()) -> Result<(), BoxError> {
        Ok(())
    }

    async fn write(&self, (): &mut (), position: u64) -> Result<(), BoxError> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(position);
        Ok(())
    }

    async fn clear(&self, (): &mut ()) -> Result<(), BoxError> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    async fn written(&self) -> Vec<u64> {
        self.written.lock().unwrap().clone()
    }

    fn has_instances(&self) -> bool {
        false
    }
}

recount_testing::read_model_suite!(Memory::default());

//! Memory stores with a defect, for which the suite must fail.

use std::sync::Arc;

use async_trait::async_trait;
use recount_core::Store;
use recount_store_memory::MemoryStore;
use recount_testing::store::Harness;
use recount_testing::{StoreWrapper, Wrapped};

/// A memory store with a defect, or without.
#[derive(Clone)]
pub(crate) struct Mutant<D> {
    pub(crate) store: MemoryStore,
    pub(crate) defect: Option<D>,
}

impl<D: PartialEq> Mutant<D> {
    pub(crate) fn new(defect: Option<D>) -> Self {
        Self { store: MemoryStore::new(), defect }
    }

    pub(crate) fn has(&self, defect: D) -> bool {
        self.defect == Some(defect)
    }
}

#[async_trait]
impl<D: Copy + PartialEq + Send + Sync> Harness for Mutant<D>
where
    Self: StoreWrapper,
{
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(Wrapped(self.clone()))
    }
    async fn open_another(&self) -> Arc<dyn Store> {
        Arc::new(Wrapped(Self::new(self.defect)))
    }
    async fn save(&self) {}
    async fn restore(&self) {}
}

/// The promises of the list that a mutant with this defect breaks.
macro_rules! broken {
    ($defect:expr; $($topic:ident::$promise:ident)*) => {{
        let mut broken = Vec::new();
        $({
            let mutant = async { $crate::common::Mutant::new($defect) };
            let promise = || check(mutant, async |h: &dyn Harness| $topic::$promise(h).await);
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(promise)).is_err() {
                broken.push(stringify!($promise));
            }
        })*
        broken
    }};
}
pub(crate) use broken;

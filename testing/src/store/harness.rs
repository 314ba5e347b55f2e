//! How the suite opens a store and runs a promise.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_core::{InMemory, Store};

use super::probe::{Model, Target};
use crate::FaultyStore;

/// How long a promise may take before it counts as stuck.
const LIMIT: Duration = Duration::from_secs(120);

/// A store under test, empty at first. Each test gets one of its own; its resources (a directory, a database) go
/// when it is dropped.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens the store: each call gives another instance, or at least another handle, on the same data.
    async fn open(&self) -> Arc<dyn Store>;

    /// Opens another store of the same kind, empty at first, with an identity of its own.
    async fn open_another(&self) -> Arc<dyn Store>;

    /// Saves a copy of the store, like a backup.
    async fn save(&self);

    /// Restores the copy of [`save`](Self::save) while instances of the store are open.
    async fn restore(&self);

    /// Opens the store together with its read models: in the store itself, in another place, and in memory.
    async fn open_with_read_models(&self) -> (Arc<dyn Store>, Vec<Box<dyn Target>>) {
        (self.open().await, vec![Model::elsewhere("in memory", InMemory::new())])
    }

    /// The abilities of this store beyond the common promises.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// How much work the load tests do, in percent of the usual amount.
    fn effort(&self) -> usize {
        100
    }

    /// Whether the store survives its last instance: if not, says so where people look, and the test ends.
    fn is_durable(&self) -> bool {
        declared(self.capabilities().durable, "durable: data survives closing the store")
    }

    /// Whether instances are independent: if not, says so where people look, and the test ends.
    fn has_instances(&self) -> bool {
        declared(self.capabilities().instances, "instances: closing one instance leaves the others open")
    }
}

/// The abilities of a store beyond the common promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The data survives closing all instances and opening the store again.
    pub durable: bool,
    /// [`Harness::open`] gives independent instances, as two processes would have: closing one leaves the others open.
    pub instances: bool,
}

fn declared(capability: bool, what: &str) -> bool {
    if !capability {
        // Straight to standard error: the test harness hides the output of a passing test.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "NOT TESTED, not declared by this store: {what} ({test})");
    }
    capability
}

/// Runs one promise against one store, on a runtime of its own. [`store_suite!`](crate::store_suite) expands to calls of it.
///
/// # Panics
/// If the promise does not hold, or takes longer than two minutes.
#[track_caller]
pub fn check<H: Harness>(harness: impl Future<Output = H>, promise: impl AsyncFnOnce(&dyn Harness)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a tokio runtime");
    runtime.block_on(async {
        let harness = harness.await;
        tokio::time::timeout(LIMIT, promise(&harness)).await.expect("the promise is stuck");
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Opens the store behind `Box` and `Arc`.
#[derive(Debug)]
pub struct Boxed<H>(pub H);

#[async_trait]
impl<H: Harness> Harness for Boxed<H> {
    async fn open(&self) -> Arc<dyn Store> {
        let boxed: Box<dyn Store> = Box::new(self.0.open().await);
        Arc::new(boxed)
    }
    async fn open_another(&self) -> Arc<dyn Store> {
        let boxed: Box<dyn Store> = Box::new(self.0.open_another().await);
        Arc::new(boxed)
    }
    async fn open_with_read_models(&self) -> (Arc<dyn Store>, Vec<Box<dyn Target>>) {
        let (store, models) = self.0.open_with_read_models().await;
        let boxed: Box<dyn Store> = Box::new(store);
        (Arc::new(boxed), models)
    }
    async fn save(&self) {
        self.0.save().await;
    }
    async fn restore(&self) {
        self.0.restore().await;
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn effort(&self) -> usize {
        self.0.effort().div_ceil(10)
    }
}

/// Opens the store behind a [`FaultyStore`] without faults.
#[derive(Debug)]
pub struct Faultless<H>(pub H);

#[async_trait]
impl<H: Harness> Harness for Faultless<H> {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(FaultyStore::new(self.0.open().await))
    }
    async fn open_another(&self) -> Arc<dyn Store> {
        Arc::new(FaultyStore::new(self.0.open_another().await))
    }
    async fn open_with_read_models(&self) -> (Arc<dyn Store>, Vec<Box<dyn Target>>) {
        let (store, models) = self.0.open_with_read_models().await;
        (Arc::new(FaultyStore::new(store)), models)
    }
    async fn save(&self) {
        self.0.save().await;
    }
    async fn restore(&self) {
        self.0.restore().await;
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn effort(&self) -> usize {
        self.0.effort().div_ceil(10)
    }
}

//! How the suite opens a read model, and writes to it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, ReadModel, Store};

/// How long a promise may take before it counts as stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// A read model under test, empty at first. Each test gets one of its own.
pub trait Harness: Send + Sync + 'static {
    /// Its type.
    type Model: ReadModel + Clone;

    /// An empty store for the events. The first event has position 1, and there are no gaps.
    fn store(&self) -> impl Future<Output = Arc<dyn Store>> + Send;

    /// Opens the read model: each call gives another instance on the same data, as another process would, or a clone.
    fn open(&self) -> impl Future<Output = Self::Model> + Send;

    /// Makes a place for positions, if there is none yet.
    fn prepare(
        &self,
        connection: &mut <Self::Model as ReadModel>::Connection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Adds a position. The same one twice is kept twice.
    fn write(
        &self,
        connection: &mut <Self::Model as ReadModel>::Connection,
        position: u64,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Deletes all positions.
    fn clear(
        &self,
        connection: &mut <Self::Model as ReadModel>::Connection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// The positions that were committed, in the order in which they were added. Empty if there is no place for them.
    fn written(&self) -> impl Future<Output = Vec<u64>> + Send;

    /// Whether [`open`](Self::open) gives independent instances.
    fn has_instances(&self) -> bool {
        true
    }
}

/// Whether instances are independent: if not, says so where people look, and the test ends.
pub(super) fn has_instances(harness: &impl Harness) -> bool {
    let declared = harness.has_instances();
    if !declared {
        // Straight to standard error: the test harness hides the output of a passing test.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "NOT TESTED, not declared by this read model: instances ({test})");
    }
    declared
}

/// Runs one promise against one read model, on a runtime of its own.
/// [`read_model_suite!`](crate::read_model_suite) expands to calls of it.
///
/// # Panics
/// If the promise does not hold, or takes longer than a minute.
#[track_caller]
pub fn check<H: Harness>(harness: impl Future<Output = H>, promise: impl AsyncFnOnce(&Arc<H>)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a tokio runtime");
    runtime.block_on(async {
        let harness = Arc::new(harness.await);
        tokio::time::timeout(LIMIT, promise(&harness)).await.expect("the promise is stuck");
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

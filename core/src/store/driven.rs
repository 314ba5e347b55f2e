//! Requests that go on while their caller does not poll them.

use tokio::task::JoinHandle;
use tracing::Instrument;

use super::StoreError;

/// Stops its task when it is dropped.
struct Running<T>(JoinHandle<T>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a request of a store in a task of its own. A caller that has begun a request and then waits for something else does not
/// poll it: the request ends all the same, and gives its connection back. It is aborted when the future is dropped. For crates
/// that build on this one.
///
/// # Errors
/// Those of the request; [`StoreError::Backend`] if it panics, or if the runtime ends.
///
/// # Panics
/// Outside of a tokio runtime.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), recount_core::StoreError> {
/// let head = recount_core::driven("reading the head", async { Ok(7) }).await?;
/// assert_eq!(head, 7);
/// # Ok(())
/// # }
/// ```
pub async fn driven<T: Send + 'static>(
    operation: &'static str,
    request: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let mut running = Running(tokio::spawn(request.in_current_span()));
    let lost = |error| Err(StoreError::Backend { operation, source: Box::new(error) });
    (&mut running.0).await.unwrap_or_else(lost)
}

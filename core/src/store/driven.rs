//! Requests that go on while their caller does not poll them.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;
use tracing::Instrument;

use super::StoreError;

/// Runs a request of a store in a task of its own, which begins at once. A caller that has begun a request and then waits for
/// something else does not poll it: the request ends all the same, and gives its connection back. For crates that build on
/// this one.
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
pub fn driven<T: Send + 'static>(
    operation: &'static str,
    request: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Driven<T> {
    Driven { operation, task: tokio::spawn(request.in_current_span()) }
}

/// A request that is [`driven`] by a task of its own; it is aborted when this is dropped.
///
/// # Errors
/// Those of the request; [`StoreError::Backend`] if it panics, or if the runtime ends.
#[derive(Debug)]
#[must_use = "the request is aborted when this is dropped"]
pub struct Driven<T> {
    operation: &'static str,
    task: JoinHandle<Result<T, StoreError>>,
}

impl<T> Future for Driven<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let operation = self.operation;
        let lost = |error| Err(StoreError::Backend { operation, source: Box::new(error) });
        Pin::new(&mut self.task).poll(context).map(|ended| ended.unwrap_or_else(lost))
    }
}

impl<T> Drop for Driven<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

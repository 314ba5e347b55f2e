//! Read models: where projections write, and where their checkpoints commit with it.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use super::rebuild;
use crate::run::consumer::{TIME_LIMIT, is_transient};
use crate::{Checkpoint, Filter, Position, RebuildError, Runners, StoreError, StoredCheckpoint, Transient};

/// A place that projections write to, and that keeps their checkpoints in the same transaction.
pub trait ReadModel: Send + Sync + 'static {
    /// The connection that handlers write through.
    type Connection: Send;
    /// An open transaction; dropping it undoes it, see [`UNDOES`](Self::UNDOES).
    type Transaction: Send;

    /// How many events to take into one transaction at most.
    const BATCH: usize;

    /// Whether dropping a transaction rolls back the writes through its connection. If not, a handler must not have
    /// changed any data when it fails, and the writes of the handlers before it are kept.
    const UNDOES: bool = true;

    /// The projections that run on this read model in this process. Clones share it.
    fn runners(&self) -> &Runners;

    /// How long the handlers of one transaction may take, and a set-up. Then the transaction is undone and tried again,
    /// with fewer events. 30 seconds unless defined.
    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }

    /// Whether time heals the error of a handler of this projection, such as a lost connection to the read model. No
    /// event is to blame for it, so it is tried again without limit.
    fn is_transient(&self, projection: &str, error: &(dyn Error + 'static)) -> bool {
        let _ = projection;
        is_transient(error)
    }

    /// Starts a transaction and reads the projection's checkpoint in it (`START` if there is none yet). It waits neither
    /// for other runners of the projection nor without a time limit.
    fn begin(
        &self,
        projection: &str,
    ) -> impl Future<Output = Result<(Self::Transaction, Checkpoint), StoreError>> + Send;

    /// The connection of an open transaction.
    fn connection(transaction: &mut Self::Transaction) -> &mut Self::Connection;

    /// Runs handlers of a projection while its transaction is open. If transactions lock the store, the read model
    /// marks the task here, so that a write to that store by the handler fails instead of deadlocking.
    fn handling<F>(&self, projection: &str, handlers: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send,
    {
        let _ = projection;
        handlers
    }

    /// All checkpoints, by name.
    fn checkpoints(&self) -> impl Future<Output = Result<Vec<StoredCheckpoint>, StoreError>> + Send;

    /// Orders a projection to start over: to run its [`reset`](crate::Projection::reset) and handle all events anew, in place.
    /// Its runner, in any process, notices within about two seconds; if no runner runs, it notices at its next start.
    /// Idempotent. A projection without `reset` logs an error, drops the order and goes on.
    ///
    /// # Errors
    /// [`RebuildError`]; nothing was changed.
    fn order_rebuild(&self, projection: &str) -> impl Future<Output = Result<(), RebuildError>> + Send {
        rebuild::order(self, projection)
    }

    /// The filter that was stored last for this projection.
    fn filter(
        &self,
        transaction: &mut Self::Transaction,
        projection: &str,
    ) -> impl Future<Output = Result<Option<Filter>, StoreError>> + Send;

    /// Stores the text of the projection's filter, in the transaction.
    fn remember_filter(
        &self,
        transaction: &mut Self::Transaction,
        projection: &str,
        filter: &Filter,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Moves the checkpoint and commits. All parts of the checkpoint are kept and compared: the position, the store, the
    /// event and the filter. It has a time limit.
    ///
    /// # Errors
    /// [`CheckpointError::Moved`] if the checkpoint is no longer `from`: another runner has the projection's name.
    /// Nothing is written then.
    fn commit(
        &self,
        transaction: Self::Transaction,
        projection: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> impl Future<Output = Result<(), CheckpointError>> + Send;
}

/// How moving a checkpoint can fail. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The checkpoint is not where it was left.
    #[error(
        "the checkpoint of projection {projection} was left at {expected} but is at {actual}: it runs elsewhere too"
    )]
    Moved {
        /// The projection's name.
        projection: String,
        /// Where it was left.
        expected: Position,
        /// Where it is.
        actual: Position,
    },
    /// The read model failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Transient for CheckpointError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

//! How a store fails.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::{Checkpoint, Position, StoreId, StreamId};

/// Any error, as handlers and drivers return them.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A failure of a store, beyond the ordinary outcomes of an [append](crate::AppendError).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A read names a stream that never had events.
    #[error("stream {stream} does not exist")]
    StreamNotFound {
        /// The stream.
        stream: StreamId,
    },
    /// A read names a stream that was erased.
    #[error("stream {stream} was erased")]
    StreamErased {
        /// The stream.
        stream: StreamId,
    },
    /// The store can't be reached or is too busy. Nothing was written.
    #[error("{operation}: the store is unavailable")]
    Unavailable {
        /// The operation that failed.
        operation: &'static str,
        /// Why.
        source: BoxError,
    },
    /// The connection was lost while a write was under way: it may have happened or not. Or a handler of an inline
    /// projection committed the append itself, and failed.
    /// Repeat it with the same idempotency key to find out.
    #[error("{operation}: the outcome is unknown; repeat with the same idempotency key to learn it")]
    OutcomeUnknown {
        /// The operation that failed.
        operation: &'static str,
        /// Why.
        source: BoxError,
    },
    /// There is no room left. Nothing was written; reads work, and writes will when there is room.
    #[error("{operation}: the storage is full; make room and repeat")]
    StorageFull {
        /// The operation that failed.
        operation: &'static str,
        /// Why.
        source: BoxError,
    },
    /// The stored data was written by a newer recount, or is not recount's.
    #[error("the store has schema version {found}, this program knows versions up to {known}: update the program")]
    SchemaVersion {
        /// The version of the stored data.
        found: u64,
        /// The newest version that this program can use.
        known: u64,
    },
    /// Stored data can't be understood.
    #[error("stored data is damaged: {what}")]
    Damaged {
        /// The damage, and its place.
        what: String,
    },
    /// The place no longer holds the store that was opened: it was renamed, replaced, moved or deleted meanwhile.
    #[error(
        "{operation}: {place} no longer holds {}, which this program opened: {found}; \
             put it back, or restart the program to use what is there now", held(*expected)
    )]
    Replaced {
        /// The operation that failed.
        operation: &'static str,
        /// The file, or the database and schema.
        place: String,
        /// The store that was opened. `None`: a read model in a file of its own.
        expected: Option<StoreId>,
        /// The present content of the place.
        found: String,
    },
    /// A reader's checkpoint is ahead of the store, or names an event that the store has lost: the store was restored
    /// to an earlier state, or failed over to a replica that lacked the last events.
    #[error("the store went back in time: {reader} has handled position {}, but {found} (head {head}); restore the \
             missing events, or rebuild what was made of them from an empty read model", .checkpoint.position)]
    WentBack {
        /// The reader: a subscription or a projection.
        reader: String,
        /// The reader's checkpoint.
        checkpoint: Box<Checkpoint>,
        /// The store's present content at that position.
        found: String,
        /// The store's head.
        head: Position,
    },
    /// A reader's checkpoint was written while reading another store.
    #[error("{reader} has handled events of store {expected} up to position {}, but this is store {found}; open the \
             right store, or rebuild what was made of the other one's events", .checkpoint.position)]
    OtherStore {
        /// The reader: a subscription or a projection.
        reader: String,
        /// The reader's checkpoint.
        checkpoint: Box<Checkpoint>,
        /// The store that the checkpoint belongs to.
        expected: StoreId,
        /// The store that is read now.
        found: StoreId,
    },
    /// A place has reached the greatest number a store can hold.
    #[error("{what} has reached its greatest number")]
    Exhausted {
        /// Which place.
        what: String,
    },
    /// An inline projection refused the append, so nothing was written.
    #[error("inline projection {projection} failed, so nothing was written")]
    Projection {
        /// The projection's name.
        projection: String,
        /// Why.
        source: BoxError,
    },
    /// The store was closed by this program.
    #[error("the store is closed")]
    Closed,
    /// Anything else that the database reports.
    #[error("{operation} failed")]
    Backend {
        /// The operation that failed.
        operation: &'static str,
        /// Why.
        source: BoxError,
    },
}

impl StoreError {
    /// Whether the same call can succeed later, unchanged. Repeat a *write* with an unknown outcome only with its
    /// idempotency key.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::OutcomeUnknown { .. } | Self::StorageFull { .. })
    }

    /// The kind of failure, as a label of metrics and an attribute of spans.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::StreamNotFound { .. } => "stream_not_found",
            Self::StreamErased { .. } => "stream_erased",
            Self::Unavailable { .. } => "unavailable",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::StorageFull { .. } => "storage_full",
            Self::SchemaVersion { .. } => "schema_version",
            Self::Damaged { .. } => "damaged",
            Self::Replaced { .. } => "replaced",
            Self::WentBack { .. } => "went_back",
            Self::OtherStore { .. } => "other_store",
            Self::Exhausted { .. } => "exhausted",
            Self::Projection { .. } => "projection",
            Self::Closed => "closed",
            Self::Backend { .. } => "backend",
        }
    }

    /// Whether the store lacks events that a reader has handled, so that reading on could skip events silently.
    pub(crate) fn is_lost_history(&self) -> bool {
        matches!(self, Self::WentBack { .. } | Self::OtherStore { .. })
    }

    /// Makes a copy of a transient failure for each caller that shared the call; the copies share the source. `None` if
    /// the failure isn't transient.
    pub(crate) fn for_each(self) -> Option<impl Fn() -> Self + Send> {
        let (same, operation, source): (fn(_, _) -> Self, _, _) = match self {
            Self::Unavailable { operation, source } => {
                (|operation, source| Self::Unavailable { operation, source }, operation, source)
            }
            Self::OutcomeUnknown { operation, source } => {
                (|operation, source| Self::OutcomeUnknown { operation, source }, operation, source)
            }
            Self::StorageFull { operation, source } => {
                (|operation, source| Self::StorageFull { operation, source }, operation, source)
            }
            _ => return None,
        };
        let source: Arc<dyn Error + Send + Sync> = Arc::from(source);
        Some(move || same(operation, Box::new(Arc::clone(&source))))
    }
}

/// The store's answer, or that it gave none within the limit.
pub(crate) async fn in_time<T>(
    limit: Duration,
    operation: &'static str,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(limit, answer).await;
    answer.unwrap_or_else(|elapsed| Err(StoreError::Unavailable { operation, source: elapsed.into() }))
}

fn held(store: Option<StoreId>) -> String {
    store.map_or_else(|| "the read model".to_owned(), |store| format!("store {store}"))
}

/// The error with its causes, as one line. An error that only passes on the text of its cause is left out. For crates that
/// build on this one.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let mut texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

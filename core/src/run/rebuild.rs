//! Ordering a projection to start over.

use std::fmt;

use crate::{Checkpoint, CheckpointError, Filter, FilterId, Position, ReadModel, StoreError, Transient};

/// How often an order is tried again that a runner gets ahead of.
const ATTEMPTS: usize = 100;

/// A checkpoint that a read model keeps, and its projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The projection's name.
    pub projection: String,
    /// How far it is.
    pub checkpoint: Checkpoint,
    /// The projection's filter at its latest start. `None` for inline projections.
    pub filter: Option<Filter>,
}

impl StoredCheckpoint {
    /// Whether the projection was ordered to start over, and no runner has done so yet.
    #[must_use]
    pub fn is_rebuild_ordered(&self) -> bool {
        self.checkpoint.filter == Some(FilterId::REBUILD)
    }
}

/// Why a projection was not ordered to start over. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The read model has no checkpoint of this name.
    #[error("the read model has no projection `{projection}`: choose a name that `ReadModel::checkpoints` lists")]
    Unknown {
        /// The name.
        projection: String,
    },
    /// The checkpoint has no filter, so nothing would notice the order.
    #[error(
        "projection `{projection}` is inline, or has not run since filters are recorded: only a projection that runs beside \
         its store starts over by order"
    )]
    Inline {
        /// The name.
        projection: String,
    },
    /// The checkpoint could not be marked.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl From<StoreError> for RebuildError {
    fn from(error: StoreError) -> Self {
        Self::Checkpoint(error.into())
    }
}

impl Transient for RebuildError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Checkpoint(error) if error.is_transient())
    }
}

/// Marks the checkpoint of a projection.
pub(crate) async fn order<R: ReadModel + ?Sized>(read_model: &R, projection: &str) -> Result<(), RebuildError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let (transaction, from) = read_model.begin(projection).await?;
        let projection = projection.to_owned();
        match (from.filter, from.position) {
            (Some(FilterId::REBUILD), _) => return Ok(()),
            (Some(_), _) => {}
            (None, Position::START) => return Err(RebuildError::Unknown { projection }),
            (None, _) => return Err(RebuildError::Inline { projection }),
        }
        let to = Checkpoint { filter: Some(FilterId::REBUILD), ..from };
        match read_model.commit(transaction, &projection, from, to).await {
            Err(CheckpointError::Moved { .. }) if attempts < ATTEMPTS => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// A runner has found that its projection shall start over.
#[derive(Debug, thiserror::Error)]
#[error("projection {0} was ordered to start over")]
pub(crate) struct RebuildOrdered(pub(crate) String);

/// The projection has no way to start over.
#[derive(Debug)]
pub(crate) struct NoReset;

impl fmt::Display for NoReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the projection can't start over: define `reset`, which deletes what it has written")
    }
}

impl std::error::Error for NoReset {}

//! A read model in memory, for projections that keep their state themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Checkpoint, CheckpointError, ReadModel, StoreError};

/// The read model of projections whose state is their own, such as a map behind a lock. It starts empty with the process,
/// and so do the checkpoints: every start replays from the first event.
///
/// It has no transactions, so a handler must not change any state before it fails. Clones share the checkpoints.
#[derive(Clone, Debug, Default)]
pub struct InMemory {
    checkpoints: Arc<Mutex<HashMap<String, Checkpoint>>>,
}

impl InMemory {
    /// An empty read model.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl ReadModel for InMemory {
    type Connection = ();
    type Transaction = ();

    const BATCH: usize = 256;
    const UNDOES: bool = false;

    async fn begin(&self, projection: &str) -> Result<((), Checkpoint), StoreError> {
        let checkpoints = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(((), checkpoints.get(projection).copied().unwrap_or_default()))
    }

    fn connection(transaction: &mut ()) -> &mut () {
        transaction
    }

    async fn commit(&self, (): (), projection: &str, from: Checkpoint, to: Checkpoint) -> Result<(), CheckpointError> {
        let mut checkpoints = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let actual = checkpoints.get(projection).copied().unwrap_or_default();
        if actual != from {
            let (expected, actual) = (from.position, actual.position);
            return Err(CheckpointError::Moved { projection: projection.to_owned(), expected, actual });
        }
        match checkpoints.get_mut(projection) {
            Some(checkpoint) => *checkpoint = to,
            None => drop(checkpoints.insert(projection.to_owned(), to)),
        }
        Ok(())
    }
}

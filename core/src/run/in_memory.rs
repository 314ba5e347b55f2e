//! A read model in memory, for projections that keep their state themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Checkpoint, CheckpointError, Filter, ReadModel, Runners, StoreError, StoredCheckpoint};

/// The read model of projections that keep their own state, such as a map behind a lock. It starts empty with the
/// process, and so do the checkpoints: every start replays from the first event.
///
/// It has no transactions, so a handler must not change any state before it fails. Clones share the checkpoints.
#[derive(Clone, Debug, Default)]
pub struct InMemory {
    kept: Arc<Mutex<Kept>>,
    runners: Runners,
}

#[derive(Debug, Default)]
struct Kept {
    checkpoints: HashMap<String, Checkpoint>,
    filters: HashMap<String, Filter>,
}

impl InMemory {
    /// An empty read model.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadModel for InMemory {
    type Connection = ();
    type Transaction = ();

    const BATCH: usize = 256;
    const UNDOES: bool = false;

    fn runners(&self) -> &Runners {
        &self.runners
    }

    async fn begin(&self, projection: &str) -> Result<((), Checkpoint), StoreError> {
        Ok(((), self.kept().checkpoints.get(projection).copied().unwrap_or_default()))
    }

    fn connection(transaction: &mut ()) -> &mut () {
        transaction
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let kept = self.kept();
        let stored = |(projection, checkpoint): (&String, &Checkpoint)| StoredCheckpoint {
            projection: projection.clone(),
            checkpoint: *checkpoint,
            filter: kept.filters.get(projection).cloned(),
        };
        let mut all: Vec<_> = kept.checkpoints.iter().map(stored).collect();
        all.sort_by(|a, b| a.projection.cmp(&b.projection));
        Ok(all)
    }

    async fn filter(&self, (): &mut (), projection: &str) -> Result<Option<Filter>, StoreError> {
        Ok(self.kept().filters.get(projection).cloned())
    }

    async fn remember_filter(&self, (): &mut (), projection: &str, filter: &Filter) -> Result<(), StoreError> {
        self.kept().filters.insert(projection.to_owned(), filter.clone());
        Ok(())
    }

    async fn commit(&self, (): (), projection: &str, from: Checkpoint, to: Checkpoint) -> Result<(), CheckpointError> {
        let checkpoints = &mut self.kept().checkpoints;
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

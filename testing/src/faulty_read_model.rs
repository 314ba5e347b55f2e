//! [`FaultyReadModel`]: a read model that fails when told to.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use recount_core::{Checkpoint, CheckpointError, Filter, ReadModel, Runners, StoreError, StoredCheckpoint};

use crate::Fault;

/// A call of a read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// [`ReadModel::begin`].
    Begin,
    /// [`ReadModel::commit`].
    Commit,
}

/// A read model that fails calls when told to. Without faults it is the read model that it wraps. Clones share the faults.
#[derive(Clone, Debug)]
pub struct FaultyReadModel<R> {
    model: R,
    faults: Arc<Mutex<HashMap<Step, (Fault, u64)>>>,
    time_limit: Option<Duration>,
}

impl<R: ReadModel> FaultyReadModel<R> {
    /// Wraps a read model.
    pub fn new(model: R) -> Self {
        Self { model, faults: Arc::default(), time_limit: None }
    }

    /// Sets another time limit for handlers.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Makes the next calls of this step fail.
    pub fn fail(&self, step: Step, calls: u64, fault: Fault) {
        self.faults().insert(step, (fault, calls));
    }

    /// Makes every call fail from now on, until [`heal`](Self::heal).
    pub fn fail_always(&self, fault: Fault) {
        self.fail(Step::Begin, u64::MAX, fault);
        self.fail(Step::Commit, u64::MAX, fault);
    }

    /// Forgets all faults.
    pub fn heal(&self) {
        self.faults().clear();
    }

    fn faults(&self) -> MutexGuard<'_, HashMap<Step, (Fault, u64)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, step: Step) -> Option<Fault> {
        let mut faults = self.faults();
        let (fault, calls) = faults.get_mut(&step)?;
        let fault = *fault;
        *calls = calls.saturating_sub(1);
        if *calls == 0 {
            faults.remove(&step);
        }
        Some(fault)
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { operation: "writing the read model", source: "injected fault".into() }
}

impl<R: ReadModel> ReadModel for FaultyReadModel<R> {
    type Connection = R::Connection;
    type Transaction = R::Transaction;

    const BATCH: usize = R::BATCH;
    const UNDOES: bool = R::UNDOES;

    fn runners(&self) -> &Runners {
        self.model.runners()
    }

    fn time_limit(&self) -> Duration {
        self.time_limit.unwrap_or_else(|| self.model.time_limit())
    }

    fn is_transient(&self, projection: &str, error: &(dyn Error + 'static)) -> bool {
        self.model.is_transient(projection, error)
    }

    async fn begin(&self, projection: &str) -> Result<(R::Transaction, Checkpoint), StoreError> {
        match self.next(Step::Begin) {
            Some(Fault::Delay(time) | Fault::DelayAnswer(time)) => tokio::time::sleep(time).await,
            Some(_) => return Err(unavailable()),
            None => {}
        }
        self.model.begin(projection).await
    }

    fn connection(transaction: &mut R::Transaction) -> &mut R::Connection {
        R::connection(transaction)
    }

    async fn handling<F: Future<Output: Send> + Send>(&self, projection: &str, handlers: F) -> F::Output {
        self.model.handling(projection, handlers).await
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.model.checkpoints().await
    }

    async fn filter(&self, transaction: &mut R::Transaction, projection: &str) -> Result<Option<Filter>, StoreError> {
        self.model.filter(transaction, projection).await
    }

    async fn remember_filter(
        &self,
        transaction: &mut R::Transaction,
        projection: &str,
        filter: &Filter,
    ) -> Result<(), StoreError> {
        self.model.remember_filter(transaction, projection, filter).await
    }

    async fn commit(
        &self,
        transaction: R::Transaction,
        projection: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), CheckpointError> {
        match self.next(Step::Commit) {
            None => self.model.commit(transaction, projection, from, to).await,
            // Nothing releases it: the runner dies there.
            Some(Fault::PauseBefore | Fault::PauseAfter) => std::future::pending().await,
            Some(Fault::Before) => Err(unavailable().into()),
            Some(Fault::Delay(time) | Fault::DelayAnswer(time)) => {
                tokio::time::sleep(time).await;
                self.model.commit(transaction, projection, from, to).await
            }
            Some(Fault::After) => {
                self.model.commit(transaction, projection, from, to).await?;
                let source = "injected fault".into();
                Err(StoreError::OutcomeUnknown { operation: "writing the read model", source }.into())
            }
        }
    }
}

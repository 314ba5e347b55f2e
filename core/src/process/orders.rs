//! Orders of operators to instances that can't go on.

use super::desk::ledger_of;
use super::ledger::Ledger;
use super::record::{Record, RedriveRecord, RequestId, ResolvedRecord};
use super::state::InstanceState;
use super::status::Processes;
use crate::{Append, AppendError, BoxError, ExpectedVersion, StoreError, StreamId};

impl Processes {
    /// Orders an instance that is parked or stuck to try again. A runner of the process carries the order out.
    ///
    /// # Errors
    /// [`OrderError`] if there is no such instance, or it is neither parked nor stuck.
    pub async fn redrive(&self, process: &str, id: &str, by: &str) -> Result<(), OrderError> {
        let (stream, ledger) = self.ledger(process, id).await?;
        if ledger.parked.is_none() && ledger.stuck.is_none() {
            return Err(OrderError::NothingToDo { instance: stream, state: InstanceState::of(&ledger) });
        }
        self.order(stream, Record::Redrive(RedriveRecord { by: by.to_owned() })).await
    }

    /// Declares that nothing is left to undo for a request with a refused undo. The compensation then goes on. The
    /// note says why, for later readers of the stream.
    ///
    /// # Errors
    /// [`OrderError`] if there is no such instance, or it is not stuck at this request.
    pub async fn resolve(
        &self,
        process: &str,
        id: &str,
        request: RequestId,
        by: &str,
        note: &str,
    ) -> Result<(), OrderError> {
        let (stream, ledger) = self.ledger(process, id).await?;
        if ledger.stuck.as_ref().is_none_or(|stuck| stuck.request != request) {
            return Err(OrderError::NothingToDo { instance: stream, state: InstanceState::of(&ledger) });
        }
        let (by, note) = (by.to_owned(), note.to_owned());
        self.order(stream, Record::Resolved(ResolvedRecord { request, by, note })).await
    }

    async fn ledger(&self, process: &str, id: &str) -> Result<(StreamId, Ledger), OrderError> {
        let stream = StreamId::new(process, id).map_err(|error| OrderError::Failed(error.into()))?;
        match ledger_of(self.store(), &stream).await.map_err(OrderError::Failed)? {
            Some(ledger) => Ok((stream, ledger)),
            None => Err(OrderError::Unknown { instance: stream }),
        }
    }

    async fn order(&self, stream: StreamId, record: Record) -> Result<(), OrderError> {
        let failed = |error: BoxError| OrderError::Failed(error);
        let event = record.encode().map_err(|error| failed(error.into()))?;
        match self.store().append(Append::to(stream, ExpectedVersion::StreamExists, vec![event])).await {
            Ok(_) => Ok(()),
            Err(AppendError::Store(StoreError::StreamNotFound { stream })) => {
                Err(OrderError::Unknown { instance: stream })
            }
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// Why an operator's order was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// There is no such instance.
    #[error("there is no instance {instance}")]
    Unknown {
        /// The stream of the instance.
        instance: StreamId,
    },
    /// The order does not fit the state of the instance.
    #[error("instance {instance} is {state}: there is nothing to redrive or resolve")]
    NothingToDo {
        /// The stream of the instance.
        instance: StreamId,
        /// Its state.
        state: InstanceState,
    },
    /// The store failed.
    #[error("the order was not recorded")]
    Failed(#[source] BoxError),
}

//! The outcome under an idempotency key, and withdrawing a request that has none.

use std::error::Error;

use bytes::Bytes;

use super::engine::Engine;
use super::{DispatchError, LoadError, Refusal};
use crate::{AppendError, Idempotency, IdempotencyKey, Metadata, NamedAppend, StoreError};

/// The type of the event that withdraws a request, and the category of its stream. The stream's id is the key.
const WITHDRAWN: &str = "recount.withdrawn";

/// The outcome under an idempotency key. A key has one outcome, for as long as the store
/// [remembers](crate::RecountBuilder::key_retention) it.
#[derive(Clone, Debug)]
pub enum KeyOutcome {
    /// The request took effect: it recorded events.
    Effect,
    /// The request had nothing to do.
    Nothing,
    /// The domain refused it, and the refusal was [kept](crate::Dispatch::keep_refusal).
    Refused(Refusal),
    /// It was withdrawn before it had another outcome: it never takes effect.
    Withdrawn,
}

impl Engine {
    /// The outcome under a key, if there is one.
    pub(crate) async fn outcome(&self, key: &IdempotencyKey) -> Result<Option<KeyOutcome>, LoadError> {
        match self.store.find_append(key).await? {
            Some(first) => self.read_outcome(&first).await.map(Some),
            None => Ok(None),
        }
    }

    /// Withdraws the request with this key, unless it has an outcome. Returns the outcome.
    pub(crate) async fn withdraw(&self, key: &IdempotencyKey, metadata: Metadata) -> Result<KeyOutcome, LoadError> {
        if let Some(outcome) = self.outcome(key).await? {
            return Ok(outcome);
        }
        let idempotency = Idempotency::new(key.clone(), b"withdrawn");
        match self.settle(WITHDRAWN, Bytes::from_static(b"{}"), &idempotency, &metadata).await {
            Ok(_) => Ok(KeyOutcome::Withdrawn),
            Err(AppendError::KeyReused { .. }) => {
                let lost = || StoreError::Damaged { what: format!("the outcome of idempotency key {key}") };
                self.outcome(key).await?.ok_or_else(|| lost().into())
            }
            Err(AppendError::Store(error)) => Err(error.into()),
            Err(error) => Err(StoreError::Backend { operation: "withdraw a request", source: error.into() }.into()),
        }
    }

    /// The failure of a request under a key that has the outcome of another one.
    pub(super) async fn key_taken<E: Error + 'static>(&self, key: IdempotencyKey) -> DispatchError<E> {
        match self.store.find_append(&key).await {
            Ok(Some(first)) if is_withdrawn(&first) => DispatchError::Withdrawn { key },
            Ok(_) => AppendError::KeyReused { key }.into(),
            Err(error) => AppendError::from(error).into(),
        }
    }

    async fn read_outcome(&self, first: &NamedAppend) -> Result<KeyOutcome, LoadError> {
        if is_withdrawn(first) {
            return Ok(KeyOutcome::Withdrawn);
        }
        let streams = &first.appended.streams;
        if let Some(refusal) = self.kept_refusal(&first.appended).await? {
            return Ok(KeyOutcome::Refused(refusal));
        }
        let events: u64 = streams.iter().map(|part| part.count).sum();
        Ok(if events > 0 { KeyOutcome::Effect } else { KeyOutcome::Nothing })
    }
}

fn is_withdrawn(first: &NamedAppend) -> bool {
    first.appended.streams.iter().any(|part| part.stream.category() == WITHDRAWN)
}

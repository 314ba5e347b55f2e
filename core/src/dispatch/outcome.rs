//! The outcome under an idempotency key, and withdrawing a request that has none.

use super::engine::Engine;
use super::kept::settling;
use super::{LoadError, Refusal};
use crate::{AppendError, Idempotency, IdempotencyKey, Metadata, NamedAppend, StoreError};

/// The type of the event that withdraws a request, and the category of its stream. The stream's id is the key.
const WITHDRAWN: &str = "recount.withdrawn";

/// The outcome under an idempotency key. A key has one outcome for ever.
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
        let append = settling(WITHDRAWN, &b"{}"[..], Idempotency::new(key.clone(), b"withdrawn"), metadata)?;
        match self.append(append).await {
            Ok(_) => Ok(KeyOutcome::Withdrawn),
            Err(AppendError::KeyReused { .. }) => {
                let lost = || StoreError::Damaged { what: format!("the outcome of idempotency key {key}") };
                self.outcome(key).await?.ok_or_else(|| lost().into())
            }
            Err(AppendError::Store(error)) => Err(error.into()),
            Err(error) => Err(StoreError::Backend { operation: "withdraw a request", source: error.into() }.into()),
        }
    }

    async fn read_outcome(&self, first: &NamedAppend) -> Result<KeyOutcome, LoadError> {
        let streams = &first.appended.streams;
        if streams.iter().any(|part| part.stream.category() == WITHDRAWN) {
            return Ok(KeyOutcome::Withdrawn);
        }
        if let Some(refusal) = self.kept_refusal(&first.appended).await? {
            return Ok(KeyOutcome::Refused(refusal));
        }
        let events: u64 = streams.iter().map(|part| part.count).sum();
        Ok(if events > 0 { KeyOutcome::Effect } else { KeyOutcome::Nothing })
    }
}

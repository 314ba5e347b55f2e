//! The marks of consumers with a non-transactional sink: entries of the state store, moved by compare-and-set.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::failure::MovedElsewhere;
use super::filter::{Filter, FilterChange, FilterChanged, Verdict, verdict};
use super::source::Source;
use crate::{BoxError, ExpectedRevision, Namespace, Position, StateError, StateKey, Store, StoreError};

/// How often a shared mark is moved again after other runners have moved it.
const SHARED_ATTEMPTS: usize = 8;

/// Stores the marks of one consumer.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) store: Arc<dyn Store>,
    /// The consumer, as errors name it.
    pub(crate) consumer: String,
    pub(crate) key: StateKey,
    /// `None` once the checkpoint was opened: the choice is made once.
    pub(crate) on_change: Option<FilterChange>,
    /// Several runners may move the mark: everything up to each mark is handled, so the greatest is kept.
    pub(crate) shared: bool,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored<M> {
    mark: Option<M>,
    filter: Filter,
}

/// The last write to a consumer's entry.
pub(crate) struct Kept<M> {
    pub(crate) mark: Option<M>,
    pub(crate) revision: ExpectedRevision,
    /// The consumer starts over.
    pub(crate) reset: bool,
}

impl Keeper {
    /// The entry of a consumer: `KIND/NAME` in the namespace of consumers.
    pub(crate) fn key(kind: impl std::fmt::Display, name: &str) -> Result<StateKey, crate::NameError> {
        Namespace::CONSUMER.key(format!("{kind}/{name}"))
    }

    /// Reads the mark, and compares the filter that it was stored with.
    pub(crate) async fn open<S: Source>(&mut self, filter: &Filter) -> Result<Kept<S::Mark>, BoxError> {
        let kept = self.compare::<S>(filter).await?;
        self.on_change = None;
        Ok(kept)
    }

    async fn compare<S: Source>(&self, filter: &Filter) -> Result<Kept<S::Mark>, BoxError> {
        let Some(entry) = self.store.get(&self.key).await? else {
            return Ok(Kept { mark: None, revision: ExpectedRevision::Absent, reset: false });
        };
        let stored: Stored<S::Mark> = serde_json::from_slice(&entry.value).map_err(|error| StoreError::Damaged {
            what: format!("the state entry {} is no checkpoint: {error}", self.key),
        })?;
        let at = stored.mark.as_ref().map_or(Position::START, S::position);
        // Without a mark the first set-up adopts any filter. Later it belongs to another program, which starts over.
        let id = (stored.mark.is_some() || self.on_change.is_none()).then(|| stored.filter.id());
        let mut kept = Kept { mark: stored.mark, revision: ExpectedRevision::Exact(entry.revision), reset: false };
        // A mark that has no position is behind the start all the same.
        match verdict(id, at.max(Position::new(1)), filter.id(), self.on_change) {
            Verdict::Same => return Ok(kept),
            Verdict::Refuse => {
                return Err(FilterChanged::new(self.consumer.clone(), at, &stored.filter, filter).into());
            }
            Verdict::Adopt => {}
            Verdict::StartOver => (kept.mark, kept.reset) = (None, true),
        }
        kept.revision = self.put::<S>(filter.clone(), kept.mark.clone(), kept.revision, false).await?;
        Ok(kept)
    }

    /// Moves the mark, unless another runner has moved it. `repeated`: an earlier attempt failed, and its outcome may be
    /// unknown.
    pub(crate) async fn put<S: Source>(
        &self,
        filter: Filter,
        mark: Option<S::Mark>,
        mut expected: ExpectedRevision,
        repeated: bool,
    ) -> Result<ExpectedRevision, BoxError> {
        let own = mark.as_ref().map_or(Position::START, S::position);
        let stored = Stored { mark, filter };
        let value: Bytes = serde_json::to_vec(&stored)?.into();
        for _ in 0..SHARED_ATTEMPTS {
            match self.store.put(&self.key, value.clone(), expected, None).await {
                Ok(revision) => return Ok(ExpectedRevision::Exact(revision)),
                Err(StateError::Mismatch { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if !repeated && !self.shared {
                break;
            }
            let Some(entry) = self.store.get(&self.key).await? else { break };
            let revision = ExpectedRevision::Exact(entry.revision);
            if repeated && entry.value == value {
                return Ok(revision);
            }
            let other: Stored<S::Mark> = match serde_json::from_slice(&entry.value) {
                Ok(other) if self.shared => other,
                _ => break,
            };
            if other.filter.id() != stored.filter.id() {
                break;
            }
            if other.mark.as_ref().is_some_and(|mark| S::position(mark) >= own) {
                return Ok(revision);
            }
            expected = revision;
        }
        Err(MovedElsewhere { consumer: self.consumer.clone() }.into())
    }
}

//! The small keyed state beside the events: checkpoints, snapshots, leases.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{StateKey, StoreError};

/// Counts the writes to the state of a store: each write gets a greater revision than all before it, of any key,
/// also after entries were deleted or expired. That makes a revision a fencing token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The value.
    pub value: Bytes,
    /// The write that put it there.
    pub revision: Revision,
}

/// What an entry must look like for a write to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedRevision {
    /// It doesn't matter.
    Any,
    /// There is no entry, or it has expired.
    Absent,
    /// The entry was last written by this write and has not expired.
    Exact(Revision),
}

impl ExpectedRevision {
    /// Whether an entry with this revision is as expected.
    #[must_use]
    pub fn accepts(self, actual: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => actual.is_none(),
            Self::Exact(expected) => actual == Some(expected),
        }
    }
}

/// How a write to the state can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The entry is not as expected; nothing was written.
    #[error("state entry {key} was expected to be {expected:?}, but is at {actual:?}")]
    Mismatch {
        /// The entry's key.
        key: StateKey,
        /// What the write expected.
        expected: ExpectedRevision,
        /// The entry's revision, if there is one.
        actual: Option<Revision>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keyed values with compare-and-set and expiry. As durable as the store's events.
#[async_trait]
pub trait StateStore: Send + Sync + 'static {
    /// The entry, unless there is none or it has expired.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be asked.
    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError>;

    /// Writes the entry if it is as expected. With a time to live it expires by the store's clock, else never.
    ///
    /// # Errors
    /// [`StateError::Mismatch`] if the entry is not as expected: of racing writers with the same expectation
    /// exactly one succeeds.
    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError>;

    /// Deletes the entry if it is as expected. An entry that is not there is deleted by `Any` and `Absent`.
    ///
    /// # Errors
    /// [`StateError::Mismatch`] if the entry is not as expected.
    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError>;

    /// Up to `limit` entries whose key starts with exactly this text, in byte order of their keys, behind the key `after`.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be asked.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        impl<T: StateStore + ?Sized> StateStore for $pointer<T> {
            async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
                (**self).get(key).await
            }
            async fn put(
                &self,
                key: &StateKey,
                value: Bytes,
                expected: ExpectedRevision,
                time_to_live: Option<Duration>,
            ) -> Result<Revision, StateError> {
                (**self).put(key, value, expected, time_to_live).await
            }
            async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
                (**self).delete(key, expected).await
            }
            async fn list(
                &self,
                prefix: &str,
                after: Option<&StateKey>,
                limit: usize,
            ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
                (**self).list(prefix, after, limit).await
            }
        }
    };
}

forward!(Arc);
forward!(Box);

//! The small keyed state beside the events: checkpoints, snapshots, leases.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::state_batch::{InvalidState, StateDelete, StatePut};
use crate::{Namespace, StateKey, StoreError, Timestamp};

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

/// The revision that an entry must have for a write to succeed.
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
        /// The revision that the write expected.
        expected: ExpectedRevision,
        /// The entry's revision, if there is one.
        actual: Option<Revision>,
    },
    /// The request itself is wrong; nothing was sent to the store.
    #[error(transparent)]
    Invalid(#[from] InvalidState),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keyed values with compare-and-set and expiry. As durable as the store's events.
///
/// A value has at most [`MAX_STATE_VALUE`](crate::MAX_STATE_VALUE) bytes. Each method is cancel-safe: dropped, a write has
/// happened wholly or not at all.
#[async_trait]
pub trait StateStore: Send + Sync + 'static {
    /// The time by the clock that expiry is measured by: the database server's if there is one, else this process's.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be asked.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// The entry, unless there is none or it has expired.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be asked.
    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError>;

    /// Writes the entry if it is as expected. With a time to live it expires by the store's clock, else never.
    ///
    /// # Errors
    /// [`StateError::Mismatch`] if the entry is not as expected: of racing writers with the same expectation
    /// exactly one succeeds. [`StateError::Invalid`] if the value is too large.
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

    /// Writes all entries if all are as expected, else none. Returns their revisions in the same order, each greater than
    /// the one before. No entries, no effect.
    ///
    /// # Errors
    /// [`StateError::Mismatch`] names the first entry in the order of the request that is not as expected.
    /// [`StateError::Invalid`] if a key stands twice in the request, or the request is larger than
    /// [`MAX_STATE_BATCH`](crate::MAX_STATE_BATCH) entries or [`MAX_STATE_BATCH_BYTES`](crate::MAX_STATE_BATCH_BYTES).
    async fn put_many(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError>;

    /// Deletes all entries if all are as expected, else none. No entries, no effect.
    ///
    /// # Errors
    /// As [`put_many`](Self::put_many).
    async fn delete_many(&self, deletes: Vec<StateDelete>) -> Result<(), StateError>;

    /// Up to `limit` entries of this namespace with a name that starts with exactly this text, in byte order of their
    /// keys, behind the key `after`.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be asked.
    async fn list(
        &self,
        namespace: Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        impl<T: StateStore + ?Sized> StateStore for $pointer<T> {
            async fn now(&self) -> Result<Timestamp, StoreError> {
                (**self).now().await
            }
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
            async fn put_many(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
                (**self).put_many(puts).await
            }
            async fn delete_many(&self, deletes: Vec<StateDelete>) -> Result<(), StateError> {
                (**self).delete_many(deletes).await
            }
            async fn list(
                &self,
                namespace: Namespace,
                prefix: &str,
                after: Option<&StateKey>,
                limit: usize,
            ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
                (**self).list(namespace, prefix, after, limit).await
            }
        }
    };
}

forward!(Arc);
forward!(Box);

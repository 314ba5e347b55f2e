//! Writes to several entries of the state store, and the limits of all writes to it.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;

use crate::{ExpectedRevision, StateKey};

/// The greatest size of a value in the state store, in bytes: 16 MiB.
pub const MAX_STATE_VALUE: usize = 16 * 1024 * 1024;
/// The greatest number of entries in one batch. A store may hold a lock for each.
pub const MAX_STATE_BATCH: usize = 256;
/// The greatest size of the values in one batch together, in bytes: 16 MiB.
pub const MAX_STATE_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// An entry to write, for [`StateStore::put_many`](crate::StateStore::put_many).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePut {
    /// The entry's key.
    pub key: StateKey,
    /// The value.
    pub value: Bytes,
    /// The revision that the entry must have.
    pub expected: ExpectedRevision,
    /// When the entry expires, counted from the write by the store's clock. `None`: never.
    pub time_to_live: Option<Duration>,
}

/// An entry to delete, for [`StateStore::delete_many`](crate::StateStore::delete_many).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDelete {
    /// The entry's key.
    pub key: StateKey,
    /// The revision that the entry must have.
    pub expected: ExpectedRevision,
}

/// Why a write to the state cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidState {
    /// A value is too large.
    #[error(
        "the value of state entry {key} has {size} bytes, the limit is {limit}: store large content elsewhere and refer to it"
    )]
    ValueTooLarge {
        /// The entry's key.
        key: StateKey,
        /// The size of the value in bytes.
        size: usize,
        /// [`MAX_STATE_VALUE`].
        limit: usize,
    },
    /// There are too many entries in one batch.
    #[error("a batch of {count} state entries is larger than the {limit} allowed: split it")]
    TooManyEntries {
        /// How many.
        count: usize,
        /// [`MAX_STATE_BATCH`].
        limit: usize,
    },
    /// The values of one batch are too large together.
    #[error("the values of a batch of state entries have {size} bytes together, the limit is {limit}: split the batch")]
    BatchTooLarge {
        /// The size of the values in bytes.
        size: usize,
        /// [`MAX_STATE_BATCH_BYTES`].
        limit: usize,
    },
    /// A key stands twice in one batch.
    #[error("state entry {key} stands twice in one batch: write it once, or in two batches one after the other")]
    KeyTwice {
        /// The key.
        key: StateKey,
    },
}

impl InvalidState {
    /// Checks the limits of a value. Stores call it first.
    ///
    /// # Errors
    /// [`InvalidState::ValueTooLarge`].
    pub fn check_value(key: &StateKey, value: &[u8]) -> Result<(), Self> {
        if value.len() > MAX_STATE_VALUE {
            return Err(Self::ValueTooLarge { key: key.clone(), size: value.len(), limit: MAX_STATE_VALUE });
        }
        Ok(())
    }

    /// Checks the limits of a batch of writes. Stores call it first.
    ///
    /// # Errors
    /// The first limit that the batch exceeds.
    pub fn check_puts(puts: &[StatePut]) -> Result<(), Self> {
        check_keys(puts.len(), puts.iter().map(|put| &put.key))?;
        puts.iter().try_for_each(|put| Self::check_value(&put.key, &put.value))?;
        let size = puts.iter().map(|put| put.value.len()).sum();
        if size > MAX_STATE_BATCH_BYTES {
            return Err(Self::BatchTooLarge { size, limit: MAX_STATE_BATCH_BYTES });
        }
        Ok(())
    }

    /// Checks the limits of a batch of deletions. Stores call it first.
    ///
    /// # Errors
    /// The first limit that the batch exceeds.
    pub fn check_deletes(deletes: &[StateDelete]) -> Result<(), Self> {
        check_keys(deletes.len(), deletes.iter().map(|delete| &delete.key))
    }
}

fn check_keys<'a>(count: usize, mut keys: impl Iterator<Item = &'a StateKey>) -> Result<(), InvalidState> {
    if count > MAX_STATE_BATCH {
        return Err(InvalidState::TooManyEntries { count, limit: MAX_STATE_BATCH });
    }
    let mut seen = HashSet::with_capacity(count);
    match keys.find(|key| !seen.insert(*key)) {
        Some(key) => Err(InvalidState::KeyTwice { key: key.clone() }),
        None => Ok(()),
    }
}

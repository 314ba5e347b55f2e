//! The keyed state.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::{ExpectedRevision, NameError, Revision, StateEntry, StateError, StateKey, StateStore, StoreError};
use tokio::time::Instant;

use crate::MemoryStore;

#[derive(Clone, Default)]
pub(crate) struct State {
    entries: BTreeMap<StateKey, StateEntry>,
    /// When which write expires; a write that was replaced meanwhile is no longer found.
    expiries: BTreeMap<(Instant, Revision), StateKey>,
    /// The last revision given to any write.
    revision: u64,
}

impl State {
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.expiries.first_entry()
            && first.key().0 <= now
        {
            let ((_, revision), key) = first.remove_entry();
            if self.revision_of(&key) == Some(revision) {
                self.entries.remove(&key);
            }
        }
    }

    fn revision_of(&self, key: &StateKey) -> Option<Revision> {
        self.entries.get(key).map(|entry| entry.revision)
    }

    fn expect(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        let actual = self.revision_of(key);
        if expected.accepts(actual) {
            return Ok(());
        }
        Err(StateError::Mismatch { key: key.clone(), expected, actual })
    }
}

impl MemoryStore {
    /// The state without what has expired. The clock is tokio's, so tests that pause it decide what expires.
    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        drop(self.log()?);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expire();
        Ok(state)
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
        Ok(self.state()?.entries.get(key).cloned())
    }

    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        let mut state = self.state()?;
        state.expect(key, expected)?;
        state.revision += 1;
        let revision = Revision(state.revision);
        state.entries.insert(key.clone(), StateEntry { value, revision });
        // A time to live that is longer than the clock can tell is for ever.
        if let Some(at) = time_to_live.and_then(|time| Instant::now().checked_add(time)) {
            state.expiries.insert((at, revision), key.clone());
        }
        Ok(revision)
    }

    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        let mut state = self.state()?;
        state.expect(key, expected)?;
        state.entries.remove(key);
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        let first = match StateKey::new(prefix) {
            Ok(key) => Bound::Included(key),
            Err(NameError::Empty { .. }) => Bound::Unbounded,
            // No key is longer than a key can be, or holds what a key can't hold.
            Err(_) => return Ok(Vec::new()),
        };
        let start = match after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.clone()),
            _ => first,
        };
        let state = self.state()?;
        let behind = state.entries.range((start, Bound::Unbounded));
        let wanted = behind.take_while(|(key, _)| key.as_str().starts_with(prefix)).take(limit);
        Ok(wanted.map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }
}

//! The keyed state.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::{
    ExpectedRevision, InvalidState, Namespace, Revision, StateDelete, StateEntry, StateError, StateKey, StatePut,
    StateStore, StoreError, Timestamp,
};
use tokio::time::Instant;

use crate::{MemoryStore, clock};

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

    fn put(&mut self, put: StatePut) -> Revision {
        let StatePut { key, value, time_to_live, .. } = put;
        self.revision += 1;
        let revision = Revision(self.revision);
        // A time to live that is longer than the clock can tell is for ever.
        if let Some(at) = time_to_live.and_then(|time| Instant::now().checked_add(time)) {
            self.expiries.insert((at, revision), key.clone());
        }
        self.entries.insert(key, StateEntry { value, revision });
        revision
    }
}

impl MemoryStore {
    /// The state without expired entries. The clock is tokio's, so tests that pause it control expiry.
    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        drop(self.log()?);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expire();
        Ok(state)
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        let _open = self.state()?;
        Ok(clock::now())
    }

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
        InvalidState::check_value(key, &value)?;
        let mut state = self.state()?;
        state.expect(key, expected)?;
        Ok(state.put(StatePut { key: key.clone(), value, expected, time_to_live }))
    }

    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        let mut state = self.state()?;
        state.expect(key, expected)?;
        state.entries.remove(key);
        Ok(())
    }

    async fn put_many(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
        InvalidState::check_puts(&puts)?;
        let mut state = self.state()?;
        puts.iter().try_for_each(|put| state.expect(&put.key, put.expected))?;
        Ok(puts.into_iter().map(|put| state.put(put)).collect())
    }

    async fn delete_many(&self, deletes: Vec<StateDelete>) -> Result<(), StateError> {
        InvalidState::check_deletes(&deletes)?;
        let mut state = self.state()?;
        deletes.iter().try_for_each(|delete| state.expect(&delete.key, delete.expected))?;
        for delete in deletes {
            state.entries.remove(&delete.key);
        }
        Ok(())
    }

    async fn list(
        &self,
        namespace: Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        let Some(prefix) = namespace.stored_prefix(prefix) else { return Ok(Vec::new()) };
        let start = match after {
            Some(after) if *after.as_stored() >= *prefix => Bound::Excluded(after.as_stored()),
            _ => Bound::Included(&*prefix),
        };
        let state = self.state()?;
        let behind = state.entries.range::<str, _>((start, Bound::Unbounded));
        let wanted = behind.take_while(|(key, _)| key.as_stored().starts_with(&prefix)).take(limit);
        Ok(wanted.map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }
}

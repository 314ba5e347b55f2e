//! The state store of the schema.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::{
    ExpectedRevision, InvalidState, Namespace, Revision, StateDelete, StateEntry, StateError, StateKey, StatePut,
    StateStore, StoreError, Timestamp,
};

use crate::PostgresStore;
use crate::state::{self, Change};

#[async_trait]
impl StateStore for PostgresStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        state::now(self.database()?).await
    }

    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
        state::get(self.database()?, key).await
    }

    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        InvalidState::check_value(key, &value)?;
        let change = Change { key: key.clone(), expected, value: Some((value, time_to_live)) };
        let revisions = state::write(self.database()?, &[change]).await?;
        Ok(revisions.first().copied().unwrap_or(Revision(0)))
    }

    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        state::write(self.database()?, &[Change { key: key.clone(), expected, value: None }]).await.map(drop)
    }

    async fn put_many(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
        InvalidState::check_puts(&puts)?;
        let changes: Vec<_> = puts.into_iter().map(Change::from).collect();
        state::write(self.database()?, &changes).await
    }

    async fn delete_many(&self, deletes: Vec<StateDelete>) -> Result<(), StateError> {
        InvalidState::check_deletes(&deletes)?;
        let change = |StateDelete { key, expected }| Change { key, expected, value: None };
        let changes: Vec<_> = deletes.into_iter().map(change).collect();
        state::write(self.database()?, &changes).await.map(drop)
    }

    async fn list(
        &self,
        namespace: Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        state::list(self.database()?, namespace, prefix, after, limit).await
    }
}

//! The state store of the file.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::{
    ExpectedRevision, InvalidState, Namespace, Revision, StateDelete, StateEntry, StateError, StateKey, StatePut,
    StateStore, StoreError, Timestamp, driven,
};

use crate::request::{Request, StateChange, Work};
use crate::{SqliteStore, state};

impl SqliteStore {
    async fn change(&self, changes: Vec<StateChange>) -> Result<Vec<Revision>, StateError> {
        self.ask(|reply| Request::Shared(Work::State(changes, reply))).await
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.check_open()?;
        Ok(Timestamp::now())
    }

    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
        let (store, key) = (self.clone(), key.clone());
        let get = async move { state::get(&mut *store.reading(state::OPERATION).await?, &key).await };
        driven(state::OPERATION, get).await
    }

    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        InvalidState::check_value(key, &value)?;
        let change = StateChange { key: key.clone(), expected, value: Some((value, time_to_live)) };
        Ok(self.change(vec![change]).await?.first().copied().unwrap_or(Revision(0)))
    }

    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        let change = StateChange { key: key.clone(), expected, value: None };
        self.change(vec![change]).await.map(drop)
    }

    async fn put_many(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
        InvalidState::check_puts(&puts)?;
        let change = |put: StatePut| {
            let StatePut { key, value, expected, time_to_live } = put;
            StateChange { key, expected, value: Some((value, time_to_live)) }
        };
        self.change(puts.into_iter().map(change).collect()).await
    }

    async fn delete_many(&self, deletes: Vec<StateDelete>) -> Result<(), StateError> {
        InvalidState::check_deletes(&deletes)?;
        let change = |StateDelete { key, expected }| StateChange { key, expected, value: None };
        self.change(deletes.into_iter().map(change).collect()).await.map(drop)
    }

    async fn list(
        &self,
        namespace: Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        let (store, prefix, after) = (self.clone(), prefix.to_owned(), after.cloned());
        driven(state::OPERATION, async move {
            let mut connection = store.reading(state::OPERATION).await?;
            state::list(&mut connection, namespace, &prefix, after.as_ref(), limit).await
        })
        .await
    }
}

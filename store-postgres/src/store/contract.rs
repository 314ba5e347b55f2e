//! The contract of event stores.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use recount_core::{
    Append, AppendError, Appended, EachEvent, EventAt, EventStore, EventStream, IdempotencyKey, NamedAppend, PoolUsage,
    Position, ReadAll, ReadStream, StoreError, StoreId, StoreWaits, StoredNames, StreamId, driven,
};
use sqlx::Row;
use tokio::sync::watch;

use super::{NOT_DRIVEN, PostgresStore};
use crate::error::During;
use crate::statement::Statement;
use crate::{identity, lifecycle, outcome};

#[async_trait]
impl EventStore for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgresql"
    }

    fn pools(&self) -> Vec<PoolUsage> {
        vec![self.0.parts.reader.database.usage()]
    }

    fn queued(&self) -> usize {
        let requests = &self.0.parts.requests;
        requests.max_capacity() - requests.capacity()
    }

    fn waits(&self) -> StoreWaits {
        self.0.parts.reader.database.waits.clone()
    }

    async fn visibility_lag(&self) -> Result<Duration, StoreError> {
        const OPERATION: &str = "looking for appends under way";
        let database = self.database()?;
        let select = Statement::new(&database.schema, include_str!("../sql/select_visibility_lag.sql"));
        let rows = database.read(OPERATION, select).await?;
        let seconds: f64 = rows.first().map_or(Ok(0.0), |row| row.try_get(0)).during(OPERATION)?;
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    fn identity(&self) -> StoreId {
        self.0.parts.identity
    }

    fn names(&self) -> StoredNames {
        self.0.parts.projections.as_ref().map(|projections| projections.names().clone()).unwrap_or_default()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.validate()?;
        self.check_open()?;
        let outcome = {
            let (_under_way, others) = self.0.parts.lone.enter();
            // A caller that goes away must not leave a transaction open.
            let queued = others || self.0.parts.projections.is_some();
            if queued { self.queue(append).await } else { self.0.parts.lone.append(append).await }
        };
        self.explained(outcome).await
    }

    fn read_stream(&self, read: ReadStream) -> EventStream {
        match self.check_open() {
            Ok(()) => self.0.parts.reader.read_stream(read),
            Err(error) => failed(error),
        }
    }

    async fn fold_stream(&self, read: ReadStream, each: &mut EachEvent<'_>) -> Result<(), StoreError> {
        self.check_open()?;
        self.0.parts.reader.fold_stream(&read, each).await
    }

    fn read_all(&self, read: ReadAll) -> EventStream {
        match self.check_open() {
            Ok(()) => self.0.parts.reader.read_all(read),
            Err(error) => failed(error),
        }
    }

    async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError> {
        const OPERATION: &str = "looking for an append";
        let database = self.database()?;
        let select = Statement::new(&database.schema, include_str!("../sql/select_append.sql")).bind(key.as_str());
        let rows = database.read(OPERATION, select).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let digest = row.try_get(0).during(OPERATION)?;
        let position = row.try_get(1).during(OPERATION)?;
        outcome::decode(digest, position, row.try_get(2).during(OPERATION)?).map(Some)
    }

    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
        lifecycle::forget_keys(self.database()?, older_than, limit).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.check_open()?;
        let reader = self.0.parts.reader.clone();
        driven("reading the head", async move { reader.head().await }).await
    }

    async fn event_at(&self, position: Position) -> Result<EventAt, StoreError> {
        identity::event_at(self.database()?, position).await
    }

    fn watch(&self) -> watch::Receiver<Position> {
        let watching = self.0.parts.head.clone();
        self.0.parts.wake.look();
        watching
    }

    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
        lifecycle::archive(self.database()?, stream).await
    }

    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
        lifecycle::erase(self.database()?, stream).await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.check_open()?;
        lifecycle::health(&self.0.parts.reader).await
    }

    async fn close(&self) {
        if self.0.parts.home.answer(self.end()).await.is_none() {
            tracing::warn!("the store is closed before its pending calls are finished: {NOT_DRIVEN}");
        }
    }
}

fn failed(error: StoreError) -> EventStream {
    stream::once(async { Err(error) }).boxed()
}

//! Inline projections on SQLite keep the promises of every store that has them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, FilterChange, Projection, Store, StoreError};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use recount_testing::{inline, read_model};
use sqlx::SqliteConnection;
use tempfile::TempDir;

struct Sqlite(TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("events.db")
    }
}

impl read_model::Harness for Sqlite {
    type Model = SqliteReadModel;

    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.path()).await.unwrap())
    }

    async fn open(&self) -> SqliteReadModel {
        SqliteStore::open(self.path()).await.unwrap().read_model()
    }

    async fn prepare(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        let create = "CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, position INTEGER NOT NULL)";
        sqlx::raw_sql(create).execute(connection).await?;
        Ok(())
    }

    async fn write(&self, connection: &mut SqliteConnection, position: u64) -> Result<(), BoxError> {
        let insert = sqlx::query("INSERT INTO log (position) VALUES (?)").bind(position.cast_signed());
        insert.execute(connection).await?;
        Ok(())
    }

    async fn clear(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        sqlx::raw_sql("DELETE FROM log").execute(connection).await?;
        Ok(())
    }

    async fn written(&self) -> Vec<u64> {
        let model = self.open().await;
        let rows = sqlx::query_scalar::<_, i64>("SELECT position FROM log ORDER BY number").fetch_all(model.pool());
        rows.await.unwrap_or_default().into_iter().map(i64::cast_unsigned).collect()
    }
}

impl inline::Harness for Sqlite {
    async fn open_inline<P: Projection<ReadModel = SqliteReadModel>>(
        &self,
        projections: Vec<P>,
        choice: FilterChange,
    ) -> Result<Arc<dyn Store>, StoreError> {
        let mut builder = SqliteStore::builder(self.path()).patience(Duration::from_secs(1));
        for projection in projections {
            builder = builder.inline(projection).on_filter_change(choice);
        }
        Ok(Arc::new(builder.open().await?))
    }
}

recount_testing::inline_suite!(Sqlite::new());

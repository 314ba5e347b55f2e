//! How the suites of read models and of inline projections open SQLite, and where they write.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, FilterChange, Projection, Store, StoreError};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use recount_testing::{inline, read_model};
use sqlx::SqliteConnection;
use tempfile::TempDir;

/// The directory of a store, and whether its file also has the read model.
pub struct Sqlite {
    directory: TempDir,
    shared: bool,
}

impl Sqlite {
    pub fn in_the_store() -> Self {
        Self { directory: TempDir::new().unwrap(), shared: true }
    }

    pub fn in_its_own_file() -> Self {
        Self { shared: false, ..Self::in_the_store() }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("events.db")
    }

    async fn store(&self) -> SqliteStore {
        SqliteStore::open(self.path()).await.unwrap()
    }
}

impl read_model::Harness for Sqlite {
    type Model = SqliteReadModel;

    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store().await)
    }

    async fn open(&self) -> SqliteReadModel {
        if self.shared {
            return self.store().await.read_model();
        }
        SqliteReadModel::open(self.directory.path().join("model.db")).await.unwrap()
    }

    async fn prepare(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        let create = "CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, position INTEGER NOT NULL)";
        inline::Harness::execute(self, connection, create).await
    }

    async fn write(&self, connection: &mut SqliteConnection, position: u64) -> Result<(), BoxError> {
        let insert = sqlx::query("INSERT INTO log (position) VALUES (?)").bind(position.cast_signed());
        insert.execute(connection).await?;
        Ok(())
    }

    async fn clear(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        inline::Harness::execute(self, connection, "DELETE FROM log").await
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

    async fn execute(&self, connection: &mut SqliteConnection, sql: &'static str) -> Result<(), BoxError> {
        sqlx::raw_sql(sql).execute(connection).await?;
        Ok(())
    }
}

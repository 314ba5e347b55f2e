//! Read models in SQLite keep the promises of every read model, in a file of their own and in the store's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::sync::Arc;

use recount_core::{BoxError, Store};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use recount_testing::read_model::Harness;
use sqlx::SqliteConnection;
use tempfile::TempDir;

/// The directory of a store, and whether its file also has the read model.
struct Sqlite {
    directory: TempDir,
    shared: bool,
}

impl Sqlite {
    fn new(shared: bool) -> Self {
        Self { directory: TempDir::new().unwrap(), shared }
    }

    async fn store(&self) -> SqliteStore {
        SqliteStore::open(self.directory.path().join("events.db")).await.unwrap()
    }
}

impl Harness for Sqlite {
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

mod own_file {
    use super::*;
    recount_testing::read_model_suite!(Sqlite::new(false));
}

mod store_file {
    use super::*;
    recount_testing::read_model_suite!(Sqlite::new(true));
}

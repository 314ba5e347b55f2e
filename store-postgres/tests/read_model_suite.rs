//! Read models in Postgres keep the promises of every read model, in the store's database and in another one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;

use common::Fresh;
use recount_core::{BoxError, Store};
use recount_store_postgres::PostgresReadModel;
use recount_testing::read_model::Harness;
use sqlx::PgConnection;

/// The store's database, and that of the read model if it is another one.
struct Postgres {
    store: Fresh,
    model: Option<Fresh>,
}

impl Postgres {
    async fn shared() -> Self {
        Self { store: Fresh::new().await, model: None }
    }

    async fn apart() -> Self {
        Self { store: Fresh::new().await, model: Some(Fresh::new().await) }
    }
}

impl Harness for Postgres {
    type Model = PostgresReadModel;

    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.store().await)
    }

    async fn open(&self) -> PostgresReadModel {
        match &self.model {
            Some(model) => PostgresReadModel::open(&model.url()).await.unwrap(),
            None => self.store.store().await.read_model(),
        }
    }

    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
        let create = "SELECT pg_advisory_xact_lock(1);
            CREATE TABLE IF NOT EXISTS log (number bigserial PRIMARY KEY, position bigint NOT NULL)";
        sqlx::raw_sql(create).execute(connection).await?;
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection, position: u64) -> Result<(), BoxError> {
        let insert = sqlx::query("INSERT INTO log (position) VALUES ($1)").bind(position.cast_signed());
        insert.execute(connection).await?;
        Ok(())
    }

    async fn clear(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
        sqlx::raw_sql("DELETE FROM log").execute(connection).await?;
        Ok(())
    }

    async fn written(&self) -> Vec<u64> {
        let model = self.open().await;
        let rows = sqlx::query_scalar::<_, i64>("SELECT position FROM log ORDER BY number").fetch_all(model.pool());
        rows.await.unwrap_or_default().into_iter().map(i64::cast_unsigned).collect()
    }
}

mod own_database {
    use super::*;
    recount_testing::read_model_suite!(Postgres::apart().await);
}

mod store_database {
    use super::*;
    recount_testing::read_model_suite!(Postgres::shared().await);
}

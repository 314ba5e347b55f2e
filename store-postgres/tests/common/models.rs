//! How the suites of read models and of inline projections open Postgres, and where they write.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, FilterChange, Projection, Store, StoreError};
use recount_store_postgres::{PostgresReadModel, PostgresStore};
use recount_testing::{inline, read_model};
use sqlx::PgConnection;

use super::Fresh;

/// The store's database, and that of the read model if it is another one.
pub struct Models {
    store: Fresh,
    model: Option<Fresh>,
}

impl Models {
    pub async fn in_the_store() -> Self {
        Self { store: Fresh::new().await, model: None }
    }

    pub async fn apart() -> Self {
        Self { store: Fresh::new().await, model: Some(Fresh::new().await) }
    }
}

impl read_model::Harness for Models {
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
        inline::Harness::execute(self, connection, create).await
    }

    async fn write(&self, connection: &mut PgConnection, position: u64) -> Result<(), BoxError> {
        let insert = sqlx::query("INSERT INTO log (position) VALUES ($1)").bind(position.cast_signed());
        insert.execute(connection).await?;
        Ok(())
    }

    async fn clear(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
        inline::Harness::execute(self, connection, "DELETE FROM log").await
    }

    async fn written(&self) -> Vec<u64> {
        let mut shell = self.model.as_ref().unwrap_or(&self.store).shell().await;
        let rows = sqlx::query_scalar::<_, i64>("SELECT position FROM log ORDER BY number").fetch_all(&mut shell);
        rows.await.unwrap_or_default().into_iter().map(i64::cast_unsigned).collect()
    }
}

impl inline::Harness for Models {
    async fn open_inline<P: Projection<ReadModel = PostgresReadModel>>(
        &self,
        projections: Vec<P>,
        choice: FilterChange,
    ) -> Result<Arc<dyn Store>, StoreError> {
        let mut builder = PostgresStore::builder(&self.store.url()).patience(Duration::from_secs(1));
        for projection in projections {
            builder = builder.inline(projection).on_filter_change(choice);
        }
        Ok(Arc::new(builder.open().await?))
    }

    async fn execute(&self, connection: &mut PgConnection, sql: &'static str) -> Result<(), BoxError> {
        sqlx::raw_sql(sql).execute(connection).await?;
        Ok(())
    }
}

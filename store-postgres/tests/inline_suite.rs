//! Inline projections on Postgres keep the promises of every store that has them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Fresh;
use recount_core::{BoxError, FilterChange, Projection, Store, StoreError};
use recount_store_postgres::{PostgresReadModel, PostgresStore};
use recount_testing::{inline, read_model};
use sqlx::PgConnection;

struct Postgres(Fresh);

impl read_model::Harness for Postgres {
    type Model = PostgresReadModel;

    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.store().await)
    }

    async fn open(&self) -> PostgresReadModel {
        self.0.store().await.read_model()
    }

    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
        let create = "CREATE TABLE IF NOT EXISTS log (number bigserial PRIMARY KEY, position bigint NOT NULL)";
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
        let mut shell = self.0.shell().await;
        let rows = sqlx::query_scalar::<_, i64>("SELECT position FROM log ORDER BY number").fetch_all(&mut shell);
        rows.await.unwrap_or_default().into_iter().map(i64::cast_unsigned).collect()
    }
}

impl inline::Harness for Postgres {
    async fn open_inline<P: Projection<ReadModel = PostgresReadModel>>(
        &self,
        projections: Vec<P>,
        choice: FilterChange,
    ) -> Result<Arc<dyn Store>, StoreError> {
        let mut builder = PostgresStore::builder(&self.0.url()).patience(Duration::from_secs(1));
        for projection in projections {
            builder = builder.inline(projection).on_filter_change(choice);
        }
        Ok(Arc::new(builder.open().await?))
    }
}

recount_testing::inline_suite!(Postgres(Fresh::new().await));

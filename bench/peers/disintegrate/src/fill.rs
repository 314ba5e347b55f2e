//! Its tables, made by itself, and events of the past, written by the server.

use anyhow::Result;
use disintegrate::serde::json::Json;
use disintegrate_postgres::{Migrator, PgEventStore, PgSnapshotter};
use protocol::{Answer, Turn};
use sqlx::PgPool;

use crate::domain::{TillEvent, sold};

pub async fn fill(pool: &PgPool, turn: &Turn) -> Result<Answer> {
    let store = PgEventStore::try_new(pool.clone(), Json::<TillEvent>::default()).await?;
    PgSnapshotter::try_new(pool.clone(), crate::SNAPSHOT).await?;
    let payload =
        serde_json::to_string(&sold("TILL", 7))?.replace("TILL", "past-%1$s").replace("article-000007", "article-%2$s");
    sqlx::query(
        "INSERT INTO event (event_type, payload, till)
        SELECT 'Sold', convert_to(format($3, s, lpad(((s * $2 + n) % 5000)::text, 6, '0')), 'UTF8'), 'past-' || s
        FROM generate_series(0, $1 - 1) AS s, generate_series(1, $2) AS n",
    )
    .bind(i64::from(turn.streams))
    .bind(i64::from(turn.length))
    .bind(payload)
    .execute(pool)
    .await?;
    Migrator::new(store).init_listener().await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(pool).await?;
    Ok(Answer::default())
}

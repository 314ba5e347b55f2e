//! Its tables, made by itself, and events of the past, written by the server.

use anyhow::Result;
use disintegrate::serde::json::Json;
use disintegrate_postgres::{Migrator, PgEventStore, PgSnapshotter};
use protocol::{Answer, Turn};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::domain::{TillEvent, sold};

/// Its function, but for the number: 0xFFFFFFFF is none before Postgres 16.
const BEGIN_EPOCH: &str = "
CREATE OR REPLACE FUNCTION event_store_begin_epoch() RETURNS void AS $$
DECLARE
    id BIGINT;
    db_id INT;
BEGIN
    SELECT last_value INTO id FROM seq_event_event_id;
    SELECT oid INTO db_id FROM pg_database WHERE datname = current_database();

    PERFORM pg_try_advisory_xact_lock_shared(db_id, 0);
    PERFORM pg_try_advisory_xact_lock_shared(1, (id & 4294967295)::bit(32)::integer);
    PERFORM pg_try_advisory_xact_lock_shared(2, (id >> 32)::bit(32)::integer);
END;
$$ LANGUAGE plpgsql;
";

pub async fn fill(turn: &Turn) -> Result<Answer> {
    let options: PgConnectOptions = turn.url.parse()?;
    let pool = &PgPool::connect_with(options.options([("check_function_bodies", "off")])).await?;
    let store = PgEventStore::try_new(pool.clone(), Json::<TillEvent>::default()).await?;
    sqlx::raw_sql(BEGIN_EPOCH).execute(pool).await?;
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
    Ok(Answer::default())
}

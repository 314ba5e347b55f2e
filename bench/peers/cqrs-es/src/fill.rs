//! Its tables, from its `init.sql`, and events of the past, written by the server itself.

use anyhow::Result;
use protocol::{Answer, Turn, sale};
use serde_json::json;
use sqlx::PgPool;

const TABLES: &str = "
CREATE TABLE events (
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    sequence bigint CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload json NOT NULL,
    metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);
CREATE TABLE snapshots (
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    last_sequence bigint CHECK (last_sequence >= 0) NOT NULL,
    current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL,
    payload json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, last_sequence)
);
";

pub async fn fill(pool: &PgPool, turn: &Turn) -> Result<Answer> {
    sqlx::raw_sql(TABLES).execute(pool).await?;
    let payload = json!({ "Sold": sale(7) }).to_string().replace("article-000007", "article-%1$s");
    sqlx::query(
        "INSERT INTO events SELECT 'till', 'past-' || s, n, 'Sold', '1',
            format($3, lpad(((s * $2 + n) % 5000)::text, 6, '0'))::json, '{}'
        FROM generate_series(0, $1 - 1) AS s, generate_series(1, $2) AS n",
    )
    .bind(i64::from(turn.streams))
    .bind(i64::from(turn.length))
    .bind(payload)
    .execute(pool)
    .await?;
    // Where snapshots are on, they are there.
    sqlx::query("INSERT INTO snapshots SELECT 'till', 'past-' || s, $2, $2 / $3, '{\"cents\": 7}' FROM generate_series(0, $1 - 1) AS s WHERE $2 >= $3")
        .bind(i64::from(turn.streams))
        .bind(i64::from(turn.length))
        .bind(crate::SNAPSHOT as i64)
        .execute(pool)
        .await?;
    Ok(Answer::default())
}

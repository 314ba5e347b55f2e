//! A table that counts the events of each stream.

use recount_core::{BoxError, RecordedEvent};
use sqlx::{PgConnection, PgExecutor};

pub async fn set_up(connection: &mut PgConnection) -> Result<(), BoxError> {
    // Two that start at once would meet at the system's tables.
    let create = "SELECT pg_advisory_xact_lock(1);
        CREATE TABLE IF NOT EXISTS counts (stream text PRIMARY KEY, events bigint NOT NULL)";
    sqlx::raw_sql(create).execute(connection).await?;
    Ok(())
}

/// Counts an event. The row of its stream stays locked until the end of the transaction.
pub async fn add(recorded: &RecordedEvent, connection: &mut PgConnection) -> Result<(), BoxError> {
    let count = "INSERT INTO counts VALUES ($1, 1) ON CONFLICT (stream) DO UPDATE SET events = counts.events + 1";
    sqlx::query(count).bind(recorded.stream.id()).execute(connection).await?;
    Ok(())
}

pub async fn counted(stream: &str, database: impl PgExecutor<'_>) -> i64 {
    let select = sqlx::query_scalar("SELECT events FROM counts WHERE stream = $1").bind(stream);
    select.fetch_one(database).await.unwrap()
}

//! Archiving and erasing streams, forgetting keys, and proving that the database takes writes.

use std::time::Duration;

use recount_core::{StoreError, StreamId};
use sqlx::Row;

use crate::database::Database;
use crate::error::During;
use crate::read::Reader;
use crate::statement::Statement;

/// The versions of the marks that closed streams end in.
pub(crate) const ARCHIVED: i64 = i64::MAX - 1;
pub(crate) const ERASED: i64 = i64::MAX;

/// The greatest age that is asked for, in microseconds: the database can subtract it from the present.
const GREATEST_AGE: i64 = 1000 * 365 * 86_400 * 1_000_000;

/// Fails unless the stream is there; `end` is its last version or its mark.
pub(crate) fn present(stream: &StreamId, end: Option<i64>) -> Result<(), StoreError> {
    match end {
        None => Err(StoreError::StreamNotFound { stream: stream.clone() }),
        Some(ERASED) => Err(StoreError::StreamErased { stream: stream.clone() }),
        Some(_) => Ok(()),
    }
}

/// Fails unless the stream is there.
pub(crate) async fn find(database: &Database, stream: &StreamId, operation: &'static str) -> Result<(), StoreError> {
    let select = Statement::new(&database.schema, include_str!("sql/select_head.sql")).bind(stream.as_str());
    let rows = database.read(operation, select).await?;
    present(stream, rows.first().map(|row| row.try_get(0)).transpose().during(operation)?)
}

pub(crate) async fn archive(database: &Database, stream: &StreamId) -> Result<(), StoreError> {
    present(stream, close(database, stream, ARCHIVED, "archiving a stream").await?)
}

pub(crate) async fn erase(database: &Database, stream: &StreamId) -> Result<(), StoreError> {
    match close(database, stream, ERASED, "erasing a stream").await? {
        None => present(stream, None),
        Some(_) => Ok(()),
    }
}

/// Closes the stream. Returns the version or mark that it ended in before, if the stream is there.
async fn close(
    database: &Database,
    stream: &StreamId,
    mark: i64,
    operation: &'static str,
) -> Result<Option<i64>, StoreError> {
    let close = Statement::new(&database.schema, include_str!("sql/close_stream.sql"));
    let close = close.bind(stream.as_str()).bind(database.schema.stream_lock(stream)).bind(mark);
    // A repeated call finds the mark of the first one, so the statement is idempotent.
    let rows = database.read(operation, close).await?;
    rows.first().map_or(Ok(None), |row| row.try_get(0)).during(operation)
}

/// Forgets idempotency keys, and returns their number.
pub(crate) async fn forget_keys(database: &Database, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
    const OPERATION: &str = "forgetting idempotency keys";
    let age = i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX).min(GREATEST_AGE);
    let forget = Statement::new(&database.schema, include_str!("sql/forget_keys.sql"));
    let forget = forget.bind(age).bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = database.read(OPERATION, forget).await?;
    let forgotten: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).during(OPERATION)?;
    Ok(forgotten.unsigned_abs())
}

/// Fails if the store is read-only, has no room for an event, or has a sequence of positions that is behind its rows.
pub(crate) async fn health(reader: &Reader) -> Result<(), StoreError> {
    const OPERATION: &str = "writing to see whether the store can";
    for proof in [include_str!("sql/prove_writable.sql"), include_str!("sql/prove_room.sql")] {
        reader.database.read(OPERATION, Statement::new(&reader.database.schema, proof)).await?;
    }
    reader.look().await.map(drop)
}

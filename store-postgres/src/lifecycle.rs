//! Archiving and erasing streams, and proving that the database takes writes.

use recount_core::{StoreError, StreamId};
use sqlx::Row;

use crate::database::{Database, Statement};
use crate::error::{During, damaged};

pub(crate) const ARCHIVED: i16 = 1;
pub(crate) const ERASED: i16 = 2;

/// What a stream is if it is closed, as the database has it.
pub(crate) fn closed(state: i64) -> Result<i16, StoreError> {
    i16::try_from(state).map_err(|_| damaged(format!("a stream is closed as {state}")))
}

pub(crate) async fn archive(database: &Database, stream: &StreamId) -> Result<(), StoreError> {
    match close(database, stream, ARCHIVED, "archiving a stream").await? {
        None => Err(StoreError::StreamNotFound { stream: stream.clone() }),
        Some(ERASED) => Err(StoreError::StreamErased { stream: stream.clone() }),
        Some(_) => Ok(()),
    }
}

pub(crate) async fn erase(database: &Database, stream: &StreamId) -> Result<(), StoreError> {
    match close(database, stream, ERASED, "erasing a stream").await? {
        None => Err(StoreError::StreamNotFound { stream: stream.clone() }),
        Some(_) => Ok(()),
    }
}

/// What the stream was before, if it is there.
async fn close(
    database: &Database,
    stream: &StreamId,
    wanted: i16,
    operation: &'static str,
) -> Result<Option<i16>, StoreError> {
    let close = Statement::new(&database.schema, include_str!("sql/close_stream.sql"));
    let close = close.bind(stream.to_string()).bind(database.schema.stream_lock(stream)).bind(wanted);
    // Again it finds what it did.
    let rows = database.read(operation, close).await?;
    rows.first().map_or(Ok(None), |row| row.try_get(0)).during(operation)
}

pub(crate) async fn health(database: &Database) -> Result<(), StoreError> {
    const OPERATION: &str = "writing to see whether the store can";
    let prove = Statement::new(&database.schema, include_str!("sql/prove_writable.sql"));
    database.read(OPERATION, prove).await.map(drop)
}

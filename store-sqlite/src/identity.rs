//! The identity of the store in a file, and the event at a position.

use recount_core::{EventAt, EventId, Position, StoreError, StoreId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::error::{During, damaged};

/// The identity of the store, drawn when the file was created.
pub(crate) async fn identify(connection: &mut SqliteConnection) -> Result<StoreId, StoreError> {
    let select = sqlx::query(include_str!("sql/select_store.sql"));
    let row = select.fetch_optional(connection).await.during("reading the identity of the store")?;
    let id = row.and_then(|row| uuid(&row, 0).transpose()).transpose().during("reading the identity of the store")?;
    id.map(StoreId).ok_or_else(|| damaged("the table of the store's identity is empty"))
}

/// Looks up the event at a position.
pub(crate) async fn event_at(connection: &mut SqliteConnection, position: Position) -> Result<EventAt, StoreError> {
    const OPERATION: &str = "reading the event at a position";
    let select = sqlx::query(include_str!("sql/select_event_at.sql")).bind(position.as_i64());
    let row = select.fetch_one(connection).await.during(OPERATION)?;
    Ok(match (uuid(&row, 0).during(OPERATION)?, row.try_get(1).during(OPERATION)?) {
        (Some(id), _) => EventAt::Event(EventId(id)),
        (None, true) => EventAt::Erased,
        (None, false) => EventAt::Nothing,
    })
}

/// The id in a column of bytes, unless that is `NULL`.
pub(crate) fn uuid(row: &SqliteRow, column: usize) -> Result<Option<Uuid>, sqlx::Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    bytes.map(|bytes| Uuid::from_slice(bytes).map_err(|error| sqlx::Error::Decode(Box::new(error)))).transpose()
}

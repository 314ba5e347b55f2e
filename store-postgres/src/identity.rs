//! Which store this is, and what it has at a position.

use recount_core::{EventAt, EventId, Position, StoreError, StoreId};
use sqlx::Row;

use crate::database::Database;
use crate::error::{During, damaged};
use crate::statement::Statement;

/// The identity that the store was given when its schema was made.
pub(crate) async fn identify(database: &Database) -> Result<StoreId, StoreError> {
    const OPERATION: &str = "reading the identity of the store";
    let rows = database.read(OPERATION, Statement::new(&database.schema, include_str!("sql/select_store.sql"))).await?;
    let row = rows.first().ok_or_else(|| damaged("the table of the store's identity is empty"))?;
    row.try_get(0).map(StoreId).during(OPERATION)
}

/// What the store has at this position.
pub(crate) async fn event_at(database: &Database, position: Position) -> Result<EventAt, StoreError> {
    const OPERATION: &str = "reading the event at a position";
    let select = Statement::new(&database.schema, include_str!("sql/select_event_at.sql")).bind(position.as_i64());
    let rows = database.read(OPERATION, select).await?;
    let row = rows.first().ok_or_else(|| damaged("the look at a position answers nothing"))?;
    Ok(match (row.try_get(0).during(OPERATION)?, row.try_get(1).during(OPERATION)?) {
        (Some(id), _) => EventAt::Event(EventId(id)),
        (None, true) => EventAt::Erased,
        (None, false) => EventAt::Nothing,
    })
}

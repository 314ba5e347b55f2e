//! Reading the state; [plans](crate::plan) write it.

use bytes::Bytes;
use recount_core::{Namespace, Revision, StateEntry, StateKey, StoreError, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::error::{During, damaged};

pub(crate) const OPERATION: &str = "reading the state";

/// The properties of an entry that the writer needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) revision: Revision,
    pub(crate) expires_at: Option<i64>,
}

impl Held {
    pub(crate) fn is_expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

pub(crate) async fn get(connection: &mut SqliteConnection, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
    let select = sqlx::query(include_str!("sql/select_state.sql")).bind(key.as_stored()).bind(now());
    let row = select.fetch_optional(connection).await.during(OPERATION)?;
    row.map(|row| entry(&row)).transpose().during(OPERATION)
}

pub(crate) async fn list(
    connection: &mut SqliteConnection,
    namespace: Namespace,
    prefix: &str,
    after: Option<&StateKey>,
    limit: usize,
) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
    let Some(prefix) = namespace.stored_prefix(prefix) else { return Ok(Vec::new()) };
    let last = Namespace::last_with_prefix(&prefix);
    let select = sqlx::query(include_str!("sql/list_state.sql"))
        .bind(prefix)
        .bind(last)
        .bind(after.map_or("", StateKey::as_stored))
        .bind(now())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = select.fetch_all(connection).await.during(OPERATION)?;
    let entry = |row: &SqliteRow| {
        let key: &str = row.try_get(2).during(OPERATION)?;
        Ok((StateKey::from_stored(key).map_err(|error| damaged(error.to_string()))?, entry(row).during(OPERATION)?))
    };
    rows.iter().map(entry).collect()
}

fn entry(row: &SqliteRow) -> Result<StateEntry, sqlx::Error> {
    let revision: i64 = row.try_get(1)?;
    Ok(StateEntry { value: Bytes::copy_from_slice(row.try_get(0)?), revision: Revision(revision.cast_unsigned()) })
}

fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

//! The state: small keyed values.

use std::time::Duration;

use bytes::Bytes;
use recount_core::{ExpectedRevision, Revision, StateEntry, StateError, StateKey, StoreError};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::database::Database;
use crate::error::{During, damaged};
use crate::schema::Lock;
use crate::statement::Statement;

const READING: &str = "reading the state";
const WRITING: &str = "writing the state";
/// The greatest length of a state key in bytes, which is four to a character at most.
const LONGEST_KEY: usize = 1024;
/// For ever, in microseconds, with room for the time that it is added to.
const LONGEST_LIFE: i64 = 1 << 61;

pub(crate) async fn get(database: &Database, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
    let select = Statement::new(&database.schema, include_str!("sql/select_state.sql")).bind(key.as_str());
    let rows = database.read(READING, select).await?;
    rows.first().map(entry).transpose().during(READING)
}

pub(crate) async fn list(
    database: &Database,
    prefix: &str,
    after: Option<&StateKey>,
    limit: usize,
) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
    if prefix.contains('\0') || prefix.len() > LONGEST_KEY {
        // No key does.
        return Ok(Vec::new());
    }
    // No key that starts with the prefix comes behind the prefix filled up with the last character there is.
    let last = format!("{prefix}{}", char::MAX.to_string().repeat(LONGEST_KEY / char::MAX.len_utf8()));
    let select = Statement::new(&database.schema, include_str!("sql/list_state.sql"))
        .bind(prefix)
        .bind(last)
        .bind(after.map_or("", StateKey::as_str))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = database.read(READING, select).await?;
    let named = |row: &PgRow| {
        let key: &str = row.try_get(2).during(READING)?;
        Ok((StateKey::new(key).map_err(|error| damaged(error.to_string()))?, entry(row).during(READING)?))
    };
    rows.iter().map(named).collect()
}

fn entry(row: &PgRow) -> Result<StateEntry, sqlx::Error> {
    let revision: i64 = row.try_get(1)?;
    Ok(StateEntry { value: Bytes::copy_from_slice(row.try_get(0)?), revision: Revision(revision.cast_unsigned()) })
}

/// Writes the value, or deletes the entry if there is none. Answers the revision of what is or was there.
pub(crate) async fn write(
    database: &Database,
    key: &StateKey,
    value: Option<Bytes>,
    expected: ExpectedRevision,
    time_to_live: Option<Duration>,
) -> Result<Revision, StateError> {
    let wanted = match expected {
        ExpectedRevision::Any => -1,
        ExpectedRevision::Absent => -2,
        ExpectedRevision::Exact(Revision(revision)) => i64::try_from(revision).unwrap_or(i64::MAX),
    };
    let life = time_to_live.map(|life| i64::try_from(life.as_micros()).unwrap_or(i64::MAX).min(LONGEST_LIFE));
    let write = Statement::new(&database.schema, include_str!("sql/write_state.sql"))
        .bind(key.as_str())
        .bind(database.schema.lock(Lock::State, key.as_str()))
        .bind(value.as_deref())
        .bind(wanted)
        .bind(life);
    let rows = database.write(WRITING, write).await?;
    let row = rows.first().ok_or_else(|| damaged("the state answers nothing"))?;
    let written: bool = row.try_get(0).during(WRITING)?;
    let revision: Option<i64> = row.try_get(1).during(WRITING)?;
    let revision = revision.map(|revision| Revision(revision.cast_unsigned()));
    if written {
        Ok(revision.unwrap_or(Revision(0)))
    } else {
        Err(StateError::Mismatch { key: key.clone(), expected, actual: revision })
    }
}

/// Removes what has expired.
pub(crate) async fn purge(database: &Database) -> Result<(), StoreError> {
    let delete = Statement::new(&database.schema, include_str!("sql/delete_expired_state.sql"));
    database.write("removing expired state", delete).await.map(drop)
}

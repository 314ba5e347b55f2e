//! The state: small keyed values.

use std::time::Duration;

use bytes::Bytes;
use recount_core::{
    ExpectedRevision, Namespace, Revision, StateEntry, StateError, StateKey, StatePut, StoreError, Timestamp,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::database::Database;
use crate::error::{During, damaged};
use crate::schema::Lock;
use crate::statement::Statement;

const READING: &str = "reading the state";
const WRITING: &str = "writing the state";
/// For ever, in microseconds, with room for the time that it is added to.
const LONGEST_LIFE: i64 = 1 << 61;

pub(crate) async fn get(database: &Database, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
    let select = Statement::new(&database.schema, include_str!("sql/select_state.sql")).bind(key.as_stored());
    let rows = database.read(READING, select).await?;
    rows.first().map(entry).transpose().during(READING)
}

pub(crate) async fn list(
    database: &Database,
    namespace: Namespace,
    prefix: &str,
    after: Option<&StateKey>,
    limit: usize,
) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
    let Some(prefix) = namespace.stored_prefix(prefix) else { return Ok(Vec::new()) };
    let last = Namespace::last_with_prefix(&prefix);
    let select = Statement::new(&database.schema, include_str!("sql/list_state.sql"))
        .bind(prefix)
        .bind(last)
        .bind(after.map_or("", StateKey::as_stored))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = database.read(READING, select).await?;
    let named = |row: &PgRow| {
        let key: &str = row.try_get(2).during(READING)?;
        Ok((StateKey::from_stored(key).map_err(|error| damaged(error.to_string()))?, entry(row).during(READING)?))
    };
    rows.iter().map(named).collect()
}

fn entry(row: &PgRow) -> Result<StateEntry, sqlx::Error> {
    let revision: i64 = row.try_get(1)?;
    Ok(StateEntry { value: Bytes::copy_from_slice(row.try_get(0)?), revision: Revision(revision.cast_unsigned()) })
}

/// The time of the database server. It decides whether an entry has expired.
pub(crate) async fn now(database: &Database) -> Result<Timestamp, StoreError> {
    let select = Statement::new(&database.schema, include_str!("sql/select_now.sql"));
    let rows = database.read(READING, select).await?;
    let now: i64 = rows.first().ok_or_else(|| damaged("the clock answers nothing"))?.try_get(0).during(READING)?;
    Timestamp::from_microsecond(now).map_err(|error| damaged(error.to_string()))
}

/// A change to an entry: the value and its time to live, or none to delete the entry.
pub(crate) struct Change {
    pub(crate) key: StateKey,
    pub(crate) expected: ExpectedRevision,
    pub(crate) value: Option<(Bytes, Option<Duration>)>,
}

impl From<StatePut> for Change {
    fn from(put: StatePut) -> Self {
        let StatePut { key, value, expected, time_to_live } = put;
        Self { key, expected, value: Some((value, time_to_live)) }
    }
}

/// Makes all changes or none. Returns the revision that each entry has now, or had before it was deleted.
pub(crate) async fn write(database: &Database, changes: &[Change]) -> Result<Vec<Revision>, StateError> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = changes.iter().map(|change| change.key.as_stored()).collect();
    let locks: Vec<_> = keys.iter().map(|key| database.schema.lock(Lock::State, key)).collect();
    let values: Vec<_> = changes.iter().map(|change| change.value.as_ref().map(|(value, _)| &value[..])).collect();
    let expected: Vec<_> = changes.iter().map(|change| wanted(change.expected)).collect();
    let life = |change: &Change| change.value.as_ref().and_then(|(_, life)| *life).map(life);
    let lives: Vec<_> = changes.iter().map(life).collect();
    let write = Statement::new(&database.schema, include_str!("sql/write_state.sql"))
        .bind(keys)
        .bind(locks)
        .bind(values)
        .bind(expected)
        .bind(lives);
    let rows = database.write(WRITING, write).await?;
    let row = rows.first().ok_or_else(|| damaged("the state answers nothing"))?;
    let mismatch: Option<i64> = row.try_get(0).during(WRITING)?;
    let revisions: Vec<Option<i64>> = row.try_get(1).during(WRITING)?;
    let revision = |revision: &Option<i64>| revision.map(|revision| Revision(revision.cast_unsigned()));
    let Some(mismatch) = mismatch else {
        return Ok(revisions.iter().map(|found| revision(found).unwrap_or(Revision(0))).collect());
    };
    let change = usize::try_from(mismatch - 1).ok().and_then(|index| changes.get(index));
    let change = change.ok_or_else(|| damaged("a state entry that was not asked for"))?;
    let actual = revisions.first().and_then(revision);
    Err(StateError::Mismatch { key: change.key.clone(), expected: change.expected, actual })
}

fn wanted(expected: ExpectedRevision) -> i64 {
    match expected {
        ExpectedRevision::Any => -1,
        ExpectedRevision::Absent => -2,
        ExpectedRevision::Exact(Revision(revision)) => i64::try_from(revision).unwrap_or(i64::MAX),
    }
}

fn life(life: Duration) -> i64 {
    i64::try_from(life.as_micros()).unwrap_or(i64::MAX).min(LONGEST_LIFE)
}

/// Removes expired entries.
pub(crate) async fn purge(database: &Database) -> Result<(), StoreError> {
    let delete = Statement::new(&database.schema, include_str!("sql/delete_expired_state.sql"));
    database.write("removing expired state", delete).await.map(drop)
}

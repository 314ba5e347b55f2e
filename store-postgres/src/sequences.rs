//! Repairs the sequences of positions, revisions and kinds if they are behind the rows that have their numbers.

use recount_core::StoreError;
use sqlx::{Connection, PgConnection, Row};

use crate::error::{Cause, During, damaged};
use crate::migrate::{OPERATION, lock};
use crate::schema::Schema;

/// A sequence that is behind its rows, since it was set back or restored without its last value.
struct Behind {
    sequence: String,
    last: i64,
    rows: i64,
}

/// Sets each sequence that is behind its rows to their greatest number.
pub(crate) async fn heal(connection: &mut PgConnection, schema: &Schema) -> Result<(), StoreError> {
    if behind(connection, schema).await?.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin().await.during(OPERATION)?;
    lock(&mut transaction, schema).await?;
    // The locks of appends in progress name earlier values of the sequence. Lock out all appends first.
    let alone = sqlx::query(schema.sql(include_str!("sql/lock_out_appends.sql")));
    alone.execute(&mut *transaction).await.during(OPERATION)?;
    for Behind { sequence, last, rows } in behind(&mut transaction, schema).await? {
        let set = sqlx::query(schema.sql(include_str!("sql/set_sequence.sql"))).bind(&sequence).bind(rows);
        set.execute(&mut *transaction).await.map_err(|error| {
            damaged(format!(
                "the sequence {sequence} is at {last}, behind its rows, which go up to {rows}, and setting it failed: {error}; \
                 open the store with a role that may update the sequence"
            ))
        })?;
        tracing::warn!(sequence, last, rows, "a sequence was behind its rows, and is set forward");
    }
    transaction.commit().await.map_err(|error| Cause::from(error).commit_error(OPERATION))
}

async fn behind(connection: &mut PgConnection, schema: &Schema) -> Result<Vec<Behind>, StoreError> {
    let select = sqlx::query(schema.sql(include_str!("sql/select_sequences.sql")));
    let rows = select.fetch_all(connection).await.during(OPERATION)?;
    let sequence = |row: &sqlx::postgres::PgRow| {
        Ok(Behind { sequence: row.try_get(0)?, last: row.try_get(1)?, rows: row.try_get(2)? })
    };
    let all: Vec<Behind> = rows.iter().map(sequence).collect::<Result<_, sqlx::Error>>().during(OPERATION)?;
    Ok(all.into_iter().filter(|sequence| sequence.last < sequence.rows).collect())
}

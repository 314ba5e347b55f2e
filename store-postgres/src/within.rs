//! Appending inside a transaction of the caller's.

use recount_core::{Append, AppendError, Appended, EventId, StoreError};
use sqlx::{Connection, PgConnection, Postgres, Row, Transaction};
use uuid::Uuid;

use crate::batch;
use crate::error::{Class, During, Failed, damaged};
use crate::inline::{Advanced, Projections};
use crate::read::Reader;
use crate::statement::Statement;

const OPERATION: &str = "appending within a transaction";

/// Appends within the transaction. An append that fails or conflicts is undone and releases its locks; the transaction
/// goes on.
pub(crate) async fn append(
    reader: &Reader,
    projections: Option<&Projections>,
    transaction: &mut Transaction<'_, Postgres>,
    append: &Append,
) -> Result<Appended, AppendError> {
    let mut savepoint = transaction.begin().await.during(OPERATION)?;
    let outcome = write(reader, projections, &mut savepoint, append).await;
    if outcome.is_ok() {
        savepoint.commit().await.during(OPERATION)?;
    } else {
        savepoint.rollback().await.during(OPERATION)?;
    }
    match outcome {
        Ok(appended) => Ok(appended),
        Err(Failed::Answer(error)) => Err(error),
        Err(Failed::Call(cause)) if cause.class() == Class::Unique => {
            Err(match duplicate(reader, transaction, append).await? {
                Some(id) => AppendError::DuplicateEvent { id },
                None => cause.store_error(OPERATION).into(),
            })
        }
        Err(Failed::Call(cause)) => Err(reader.database.failure(&cause, OPERATION).await.into()),
    }
}

async fn write(
    reader: &Reader,
    projections: Option<&Projections>,
    connection: &mut PgConnection,
    append: &Append,
) -> Result<Appended, Failed> {
    let schema = &reader.database.schema;
    check(reader, connection).await?;
    reader.kinds.learn(&reader.database, std::iter::once(append)).await?;
    if projections.is_some() {
        Statement::new(schema, include_str!("sql/lock_alone.sql")).run(connection).await?;
    }
    let appends = [append];
    let statement = batch::statement(schema, &appends, &reader.kinds)?;
    let rows = statement.run(connection).await?;
    let outcome = batch::outcomes(&appends, &rows)?.pop().ok_or_else(|| damaged("an append answers nothing"))?;
    let appended = outcome?;
    if !appended.repeated {
        if let Some(projections) = projections {
            let Advanced { timeout, .. } = projections.advance(connection, None).await?;
            let restore = Statement::new(schema, include_str!("sql/restore_timeout.sql")).bind(timeout);
            restore.run(connection).await?;
        }
        let notify = Statement::new(schema, include_str!("sql/notify.sql")).bind(schema.channel()).bind("within");
        notify.run(connection).await?;
    }
    Ok(appended)
}

/// Fails if the transaction has the wrong isolation level or is on another server than the store.
async fn check(reader: &Reader, connection: &mut PgConnection) -> Result<(), Failed> {
    let Reader { database, kinds } = reader;
    let rows = Statement::new(&database.schema, include_str!("sql/select_isolation.sql")).run(connection).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    // Statements after the locks need a snapshot that is newer than the locks.
    let isolation: &str = row.try_get(0)?;
    if isolation != "read committed" {
        let source = format!("the transaction is {isolation}: begin it as read committed, the usual level");
        return Err(StoreError::Backend { operation: OPERATION, source: source.into() }.into());
    }
    let server: i64 = row.try_get(1)?;
    if server != database.incarnation.server() {
        // Another server took over, and the store hasn't noticed yet. Kinds may have other numbers there.
        kinds.reload(database).await?;
    }
    if server != database.incarnation.server() {
        let source = "the transaction is on another server than the store; repeat it";
        return Err(StoreError::Unavailable { operation: OPERATION, source: source.into() }.into());
    }
    Ok(())
}

async fn duplicate(
    reader: &Reader,
    connection: &mut PgConnection,
    append: &Append,
) -> Result<Option<EventId>, StoreError> {
    let events = append.streams.iter().flat_map(|part| &part.events);
    let ids: Vec<Uuid> = events.map(|event| event.id.0).collect();
    let select = Statement::new(&reader.database.schema, include_str!("sql/select_recorded_id.sql")).bind(ids);
    let rows = select.run(connection).await.during(OPERATION)?;
    rows.first().map(|row| row.try_get(0).map(EventId)).transpose().during(OPERATION)
}

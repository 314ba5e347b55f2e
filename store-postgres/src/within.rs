//! Appending inside a transaction of the caller's.

use recount_core::{Append, AppendError, Appended, EventId, Position, StoreError};
use sqlx::{PgConnection, Postgres, Row, Transaction};
use sqlx_core::transaction::TransactionManager;
use uuid::Uuid;

use crate::batch;
use crate::error::{Class, During, Failed, damaged};
use crate::inline::{Advanced, Manager, Projections};
use crate::inline_batch::last_event;
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
    let savepoint = Savepoint::begin(transaction).await.during(OPERATION)?;
    let mut last = None;
    let outcome = write(reader, projections, savepoint.connection, append, &mut last).await;
    match (&outcome, projections.zip(last)) {
        (Ok(_), _) => savepoint.release().await.during(OPERATION)?,
        (Err(failed), Some((projections, last))) => savepoint.undo_handlers(projections, failed, last).await?,
        (Err(_), None) => savepoint.roll_back().await.during(OPERATION)?,
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

/// A savepoint in the caller's transaction. Dropping it rolls back to it.
struct Savepoint<'c> {
    connection: &'c mut PgConnection,
    /// How many transactions are open, one in another, without it.
    outside: usize,
}

impl<'c> Savepoint<'c> {
    async fn begin(connection: &'c mut PgConnection) -> Result<Self, sqlx::Error> {
        let outside = Manager::get_transaction_depth(connection);
        Manager::begin(connection, None).await?;
        Ok(Self { connection, outside })
    }

    fn is_open(&self) -> bool {
        Manager::get_transaction_depth(self.connection) > self.outside
    }

    async fn release(self) -> Result<(), sqlx::Error> {
        Manager::commit(self.connection).await
    }

    /// Rolls back to it, and with it those that handlers left open inside.
    async fn roll_back(self) -> Result<(), sqlx::Error> {
        while self.is_open() {
            Manager::rollback(self.connection).await?;
        }
        Ok(())
    }

    /// Rolls back after handlers have run. Fails if one of them ended the caller's transaction.
    async fn undo_handlers(
        self,
        projections: &Projections,
        failed: &Failed,
        last: (EventId, Position),
    ) -> Result<(), AppendError> {
        let undone = self.roll_back().await;
        if let Some(source) = projections.committed(failed.answer(), last).await {
            return Err(StoreError::OutcomeUnknown { operation: OPERATION, source }.into());
        }
        match undone {
            Err(error) if no_transaction(&error) => Err(projections.blamed(failed.answer()).unrecorded().into()),
            undone => Ok(undone.during(OPERATION)?),
        }
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        while self.is_open() {
            Manager::start_rollback(self.connection);
        }
    }
}

/// Whether the savepoint to roll back to is gone, with its transaction.
fn no_transaction(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("25P01" | "3B001"))
}

/// Writes the append. `last` is set to its last event before handlers run.
async fn write(
    reader: &Reader,
    projections: Option<&Projections>,
    connection: &mut PgConnection,
    append: &Append,
    last: &mut Option<(EventId, Position)>,
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
            *last = last_event(append, &appended);
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

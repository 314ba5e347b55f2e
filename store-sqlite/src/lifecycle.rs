//! Work with a transaction of its own: archiving and erasing streams, forgetting keys, and proving that the file takes writes.

use std::time::Duration;

use recount_core::{StoreError, StreamId, Timestamp};
use sqlx::{Row, SqliteConnection};

use crate::error::During;
use crate::ledger::{Ledger, StreamState};
use crate::request::Task;
use crate::transaction::Transaction;
use crate::write_lock::WriteGuard;

/// The number of bytes that a health check writes.
const HEALTH_BYTES: i64 = 64 * 1024;

/// Does the task, and returns the number of keys that it forgot.
pub(crate) async fn run(guard: &mut WriteGuard, ledger: &mut Ledger, task: &Task) -> Result<u64, StoreError> {
    let patience = guard.patience();
    let connection = guard.connect().await?;
    let outcome = match task {
        Task::Archive(stream) => archive(connection, stream, patience).await.map(|()| 0),
        Task::Erase(stream) => erase(connection, stream, patience).await.map(|()| 0),
        Task::ForgetKeys { older_than, limit } => forget_keys(connection, *older_than, *limit, patience).await,
        Task::Health => health(connection, patience).await.map(|()| 0),
    };
    let outcome = outcome.and_then(|forgotten| guard.place().check("writing").map(|()| forgotten));
    match (&outcome, task) {
        (Ok(_), Task::Archive(stream) | Task::Erase(stream)) => drop(ledger.heads.remove(stream)),
        (Ok(_), Task::ForgetKeys { .. } | Task::Health)
        | (Err(StoreError::StreamNotFound { .. } | StoreError::StreamErased { .. }), _) => {}
        (Err(StoreError::Replaced { .. }), _) => ledger.forget(),
        (Err(_), _) => {
            ledger.forget();
            guard.give_up().await;
        }
    }
    outcome
}

async fn archive(connection: &mut SqliteConnection, stream: &StreamId, patience: Duration) -> Result<(), StoreError> {
    const OPERATION: &str = "archiving a stream";
    let mut transaction = Transaction::begin(&mut *connection, patience, OPERATION).await?;
    let (id, state) = find(&mut transaction, stream, OPERATION).await?;
    match state {
        StreamState::Erased => return Err(StoreError::StreamErased { stream: stream.clone() }),
        StreamState::Archived => return Ok(()),
        StreamState::Open => {}
    }
    let update = sqlx::query(include_str!("sql/archive_stream.sql")).bind(id);
    update.execute(&mut *transaction).await.during(OPERATION)?;
    transaction.commit(OPERATION).await
}

async fn erase(connection: &mut SqliteConnection, stream: &StreamId, patience: Duration) -> Result<(), StoreError> {
    const OPERATION: &str = "erasing a stream";
    let mut transaction = Transaction::begin(&mut *connection, patience, OPERATION).await?;
    let (id, state) = find(&mut transaction, stream, OPERATION).await?;
    if state == StreamState::Erased {
        return Ok(());
    }
    let steps = [
        include_str!("sql/erase_1_allow.sql"),
        include_str!("sql/erase_2_keep_position.sql"),
        include_str!("sql/erase_3_tags.sql"),
        include_str!("sql/erase_4_events.sql"),
        include_str!("sql/erase_5_stream.sql"),
        include_str!("sql/erase_6_forbid.sql"),
    ];
    for step in steps {
        sqlx::query(step).bind(id).execute(&mut *transaction).await.during(OPERATION)?;
    }
    transaction.commit(OPERATION).await?;
    // The log still holds the rows. If readers are in the way, a later checkpoint overwrites them.
    if let Err(error) = sqlx::raw_sql(include_str!("sql/checkpoint.sql")).execute(connection).await {
        tracing::debug!(%error, "the log is emptied later");
    }
    Ok(())
}

async fn forget_keys(
    connection: &mut SqliteConnection,
    older_than: Duration,
    limit: usize,
    patience: Duration,
) -> Result<u64, StoreError> {
    const OPERATION: &str = "forgetting idempotency keys";
    let mut transaction = Transaction::begin(&mut *connection, patience, OPERATION).await?;
    let age = i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX);
    let until = Timestamp::now().as_microsecond().saturating_sub(age);
    let delete = sqlx::query(include_str!("sql/forget_keys.sql")).bind(until);
    let delete = delete.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let forgotten = delete.execute(&mut *transaction).await.during(OPERATION)?.rows_affected();
    transaction.commit(OPERATION).await?;
    Ok(forgotten)
}

async fn find(
    connection: &mut SqliteConnection,
    stream: &StreamId,
    operation: &'static str,
) -> Result<(i64, StreamState), StoreError> {
    let select = sqlx::query(include_str!("sql/select_stream_state.sql")).bind(stream.category()).bind(stream.id());
    let row = select.fetch_optional(connection).await.during(operation)?;
    let row = row.ok_or_else(|| StoreError::StreamNotFound { stream: stream.clone() })?;
    let state: i64 = row.try_get(1).during(operation)?;
    Ok((row.try_get(0).during(operation)?, StreamState::from_sql(state)))
}

/// Commits [`HEALTH_BYTES`] bytes and deletes them again, which leaves the room to the next append.
async fn health(connection: &mut SqliteConnection, patience: Duration) -> Result<(), StoreError> {
    const OPERATION: &str = "writing to see whether the store can";
    // That all tables are there.
    sqlx::query(include_str!("sql/health_0_look.sql")).execute(&mut *connection).await.during(OPERATION)?;
    let write = sqlx::query(include_str!("sql/health_1_write.sql")).bind(HEALTH_BYTES);
    for step in [write, sqlx::query(include_str!("sql/health_2_undo.sql"))] {
        let mut transaction = Transaction::begin(&mut *connection, patience, OPERATION).await?;
        step.execute(&mut *transaction).await.during(OPERATION)?;
        transaction.commit(OPERATION).await?;
    }
    Ok(())
}

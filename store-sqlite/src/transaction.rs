//! Write transactions that the driver knows of, so that code inside them may begin nested ones, as savepoints.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use recount_core::StoreError;
use sqlx::sqlite::SqliteTransactionManager;
use sqlx::{SqlSafeStr, SqliteConnection};
use sqlx_core::transaction::TransactionManager;

use crate::error::Cause;

/// A transaction that is rolled back when dropped, before the connection's next statement.
pub(crate) struct Transaction<C: DerefMut<Target = SqliteConnection>> {
    connection: C,
    open: bool,
}

impl<C: DerefMut<Target = SqliteConnection>> Transaction<C> {
    /// Begins one that holds the write lock from the start, and waits for that lock patiently: the connection
    /// itself waits for a moment only, because SQLite would look ever less often, and so lose against busier writers.
    pub(crate) async fn begin(connection: C, patience: Duration, operation: &'static str) -> Result<Self, StoreError> {
        Self::begin_by("BEGIN IMMEDIATE", connection, patience, operation).await
    }

    /// Begins one that handlers write through, for [`is_whole`].
    pub(crate) async fn begin_for_handlers(
        connection: C,
        patience: Duration,
        operation: &'static str,
    ) -> Result<Self, StoreError> {
        Self::begin_by("BEGIN IMMEDIATE; SAVEPOINT recount", connection, patience, operation).await
    }

    async fn begin_by(
        sql: &'static str,
        mut connection: C,
        patience: Duration,
        operation: &'static str,
    ) -> Result<Self, StoreError> {
        let started = tokio::time::Instant::now();
        loop {
            let begin = sql.into_sql_str();
            match SqliteTransactionManager::begin(&mut connection, Some(begin)).await.map_err(Cause::from) {
                Ok(()) => return Ok(Self { connection, open: true }),
                Err(cause) if cause.is_busy() && started.elapsed() < patience => {}
                Err(cause) => return Err(cause.store_error(operation)),
            }
        }
    }

    pub(crate) async fn commit(mut self, operation: &'static str) -> Result<(), StoreError> {
        let committed = SqliteTransactionManager::commit(&mut self.connection).await;
        committed.map_err(|error| Cause::from(error).commit_error(operation))?;
        self.open = false;
        Ok(())
    }

    /// Leaves the transaction open on the connection.
    pub(crate) fn detach(mut self) {
        self.open = false;
    }
}

impl<C: DerefMut<Target = SqliteConnection>> Deref for Transaction<C> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl<C: DerefMut<Target = SqliteConnection>> DerefMut for Transaction<C> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl<C: DerefMut<Target = SqliteConnection>> Drop for Transaction<C> {
    fn drop(&mut self) {
        if self.open {
            SqliteTransactionManager::start_rollback(&mut self.connection);
        }
    }
}

pub(crate) async fn commit(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    SqliteTransactionManager::commit(connection).await
}

pub(crate) async fn rollback(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    SqliteTransactionManager::rollback(connection).await
}

/// Whether the transaction is the one that was [begun for handlers](Transaction::begin_for_handlers): its savepoint goes
/// with it if a handler ends it, even if the handler begins another one.
pub(crate) async fn is_whole(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    match sqlx::raw_sql("RELEASE recount; SAVEPOINT recount").execute(connection).await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.message().starts_with("no such savepoint") => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many transactions are open, one in another.
pub(crate) fn depth(connection: &SqliteConnection) -> usize {
    SqliteTransactionManager::get_transaction_depth(connection)
}

//! Transactions that the driver knows of, so that what runs inside may begin more of them, as savepoints.

use sqlx::sqlite::SqliteTransactionManager;
use sqlx::{Error, SqlSafeStr, SqliteConnection};
use sqlx_core::transaction::TransactionManager;

/// Begins one that holds the write lock from the start.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<(), Error> {
    SqliteTransactionManager::begin(connection, Some("BEGIN IMMEDIATE".into_sql_str())).await
}

pub(crate) async fn commit(connection: &mut SqliteConnection) -> Result<(), Error> {
    SqliteTransactionManager::commit(connection).await
}

pub(crate) async fn rollback(connection: &mut SqliteConnection) -> Result<(), Error> {
    SqliteTransactionManager::rollback(connection).await
}

/// Rolls back before whatever the connection is asked next.
pub(crate) fn start_rollback(connection: &mut SqliteConnection) {
    SqliteTransactionManager::start_rollback(connection);
}

/// How many transactions are open, one in another.
pub(crate) fn depth(connection: &SqliteConnection) -> usize {
    SqliteTransactionManager::get_transaction_depth(connection)
}

//! Transactions of read models: bounded by the server as well, and never left open on a connection of the pool.

use std::fmt;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;

type Manager = <Postgres as sqlx::Database>::TransactionManager;

/// An open transaction of a [`PostgresReadModel`](crate::PostgresReadModel). Dropping it undoes it.
///
/// Dropping a transaction that handlers have used closes its connection: handlers may have left a statement under way,
/// and the server may not answer any more.
pub struct PostgresTransaction {
    connection: PoolConnection<Postgres>,
    /// Tells whether it still is the one that was begun.
    id: String,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Statements are under way, or may be.
    Busy,
    /// It was begun, and nothing was done in it.
    Fresh,
    /// It was committed.
    Over,
}

impl PostgresTransaction {
    /// Begins one in which the server bounds each statement and each idle moment, in the same round trip.
    pub(crate) async fn begin(connection: PoolConnection<Postgres>, limit: Duration) -> Result<Self, sqlx::Error> {
        let mut begun = Self { connection, id: String::new(), state: State::Busy };
        let limit = limit.as_millis().clamp(1, i32::MAX as u128);
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {limit}; \
             SET LOCAL idle_in_transaction_session_timeout = {limit}"
        );
        Manager::begin(&mut begun.connection, Some(AssertSqlSafe(begin).into_sql_str())).await?;
        Ok(begun)
    }

    /// It was begun under this id.
    pub(crate) fn begun(&mut self, id: String) {
        (self.id, self.state) = (id, State::Fresh);
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn depth(&self) -> usize {
        Manager::get_transaction_depth(&self.connection)
    }

    /// The connection, for statements and handlers. If one isn't answered, the connection is not used again.
    pub(crate) fn lend(&mut self) -> &mut PgConnection {
        self.state = State::Busy;
        &mut self.connection
    }

    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.state = State::Busy;
        Manager::commit(&mut self.connection).await?;
        self.state = State::Over;
        Ok(())
    }
}

impl fmt::Debug for PostgresTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTransaction").finish_non_exhaustive()
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        match self.state {
            State::Over => {}
            State::Fresh => Manager::start_rollback(&mut self.connection),
            State::Busy => self.connection.close_on_drop(),
        }
    }
}

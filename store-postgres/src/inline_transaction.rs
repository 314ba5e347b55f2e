//! The transactions of inline projections: they hold the gate alone, and none is left open.

use std::pin::pin;

use recount_core::{EndedTransaction, StoreError};
use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;
use tokio::time::timeout;

use crate::database::{Line, pause};
use crate::error::{Cause, Class, is_undone};
use crate::inline::{BATCH, Manager, OPERATION, Projections};
use crate::writer::{Failed, hang_up};
use crate::{patience, resolve};

/// How often a transaction without an append is tried again.
const ATTEMPTS: usize = 8;

impl Projections {
    /// Sets this projection up, or advances them all, in a transaction of its own. Returns whether they have caught up.
    /// An attempt may be repeated, even if its outcome is unknown.
    pub(crate) async fn transact(&self, set_up: Option<usize>) -> Result<bool, StoreError> {
        let mut attempt = 1;
        loop {
            let mut line = match self.database().line(attempt > 1).await {
                Ok(line) => Some(line),
                Err(cause) => return Err(self.database().failure(&cause, OPERATION).await),
            };
            let done = self.try_transact(&mut line, set_up).await;
            if let Some(line) = line {
                self.database().rest(line);
            }
            match done {
                Ok(caught_up) => return Ok(caught_up),
                Err(Failed::Answer(error)) => return Err(EndedTransaction::without_append(OPERATION, error)),
                Err(Failed::Call(cause)) => {
                    let again = matches!(cause.class(), Class::Contention | Class::Ended | Class::Lost);
                    if attempt == ATTEMPTS || !again {
                        return Err(self.database().failure(&cause, OPERATION).await);
                    }
                }
            }
            attempt += 1;
            tokio::time::sleep(pause(attempt)).await;
        }
    }

    async fn try_transact(&self, line: &mut Option<Line>, set_up: Option<usize>) -> Result<bool, Failed> {
        self.begin(line).await?;
        let done = self.within(line, set_up).await;
        match done {
            Ok(caught_up) => self.commit(line).await.map(|()| caught_up),
            Err(failed) => Err(self.undo(line, failed).await),
        }
    }

    async fn within(&self, line: &mut Option<Line>, set_up: Option<usize>) -> Result<bool, Failed> {
        let connection = connection(line)?;
        match set_up.and_then(|index| self.inlines.iter().nth(index)) {
            Some(inline) => self.set_up(inline, connection).await.map(|()| true),
            None => self.advance(connection, Some(BATCH)).await.map(|advanced| advanced.caught_up),
        }
    }

    /// Begins a transaction that holds the gate alone. If this side falls silent in it, the server ends it.
    pub(crate) async fn begin(&self, line: &mut Option<Line>) -> Result<(), Failed> {
        let Some(Line { connection, process }) = line.as_mut() else { return Err(lost()) };
        let idle = (self.database().patience() * 2).as_millis().clamp(1, i32::MAX as u128);
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = {idle}; {}",
            self.database().schema.text(include_str!("sql/lock_alone.sql"))
        );
        let beginning = Manager::begin(connection, Some(AssertSqlSafe(begin).into_sql_str()));
        let begun = self.database().patiently(*process, pin!(beginning)).await;
        if begun.is_err() {
            // The transaction may be there, aborted.
            hang_up(line);
        }
        begun.map_err(|error| Failed::Call(error.into()))
    }

    pub(crate) async fn commit(&self, line: &mut Option<Line>) -> Result<(), Failed> {
        let Some(Line { connection, process }) = line.as_mut() else { return Err(lost()) };
        let committed = self.database().patiently(*process, pin!(Manager::commit(connection))).await;
        if committed.is_err() {
            hang_up(line);
        }
        committed.map_err(|error| Failed::Call(error.into()))
    }

    /// Undoes the transaction, and returns why. If the connection has ended, that is why.
    pub(crate) async fn undo(&self, line: &mut Option<Line>, failed: Failed) -> Failed {
        match (self.roll_back(line).await, failed) {
            // The server's own time limit may answer the rollback, or nothing: the handler is still to blame.
            (Err(Some(error)), Failed::Answer(_)) if is_undone(&error) => Failed::Call(Cause::from(error)),
            (_, failed) => failed,
        }
    }

    /// Rolls back. A connection that doesn't answer is given up, and the process behind it ended: it holds the gate. The
    /// error is `None` if the server falls silent.
    pub(crate) async fn roll_back(&self, line: &mut Option<Line>) -> Result<(), Option<sqlx::Error>> {
        let Some(Line { connection, process }) = line.as_mut() else { return Ok(()) };
        let process = *process;
        let undoing = async {
            while Manager::get_transaction_depth(connection) > 0 {
                Manager::rollback(connection).await?;
            }
            Ok::<(), sqlx::Error>(())
        };
        match timeout(self.database().patience() / 4, undoing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                hang_up(line);
                Err(Some(error))
            }
            Err(_) => {
                hang_up(line);
                // If the server can't be asked now, its time-outs end it.
                let _ = timeout(self.database().patience(), resolve::end(self.database(), process)).await;
                Err(None)
            }
        }
    }
}

/// The failure of a transaction after its connection was given up.
pub(crate) fn lost() -> Failed {
    Failed::Call(patience::silence().into())
}

fn connection(line: &mut Option<Line>) -> Result<&mut PgConnection, Failed> {
    line.as_mut().map(|line| &mut *line.connection).ok_or_else(lost)
}

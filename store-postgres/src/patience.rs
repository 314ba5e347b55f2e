//! Silence: an answer that the server works at is waited for, one that got lost in the network is not.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection};
use tokio::time::timeout;

use crate::database::Database;

/// A server process: its id alone comes again.
#[derive(Clone, Copy)]
pub(crate) struct Process {
    pub(crate) id: i32,
    /// When it was started, in microseconds since 1970.
    pub(crate) started: i64,
    /// When the server was started, see [`Incarnation`](crate::incarnation::Incarnation).
    pub(crate) server: i64,
}

/// An answer that doesn't come.
pub(crate) fn silence() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the server's answer does not come"))
}

/// The connection leads to a server that lacks the locks of its primary, and would show rows that aren't safe to read.
fn unsafe_to_read() -> sqlx::Error {
    let text = "the server is a replica, which doesn't know what is under way on its primary: connect to the primary, or promote it";
    sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, text))
}

/// Whether the connection still works in both directions: a bare round trip must end within a quarter of the patience.
pub(crate) async fn answers(connection: &mut PgConnection, patience: Duration) -> bool {
    use sqlx::Connection;
    matches!(timeout(patience / 4, connection.ping()).await, Ok(Ok(())))
}

impl Database {
    /// How long silence lasts at most.
    pub(crate) fn patience(&self) -> Duration {
        self.pool.options().get_acquire_timeout()
    }

    /// Waits for an answer of this process for as long as it works at it: asks after half of the patience, and lets the
    /// asking take as long again.
    pub(crate) async fn patiently<T>(
        &self,
        process: Process,
        mut call: Pin<&mut impl Future<Output = Result<T, sqlx::Error>>>,
    ) -> Result<T, sqlx::Error> {
        match timeout(self.patience() / 2, call.as_mut()).await {
            Ok(answer) => answer,
            // Boxed: an overdue answer is rare, and inlining its future would grow every call.
            Err(_) => Box::pin(self.overdue(process, call)).await,
        }
    }

    /// Waits for an answer that should be there by now.
    async fn overdue<T>(
        &self,
        process: Process,
        mut call: Pin<&mut impl Future<Output = Result<T, sqlx::Error>>>,
    ) -> Result<T, sqlx::Error> {
        let (half, quarter) = (self.patience() / 2, self.patience() / 4);
        let mut wait = half;
        loop {
            let works = tokio::select! {
                biased;
                answer = call.as_mut() => return answer,
                works = timeout(half, self.works(process)) => works,
            };
            wait = match works {
                Ok(Ok(true)) => half,
                // The answer may be on its way here, or the next message may be on its way to the process.
                Ok(Ok(false)) if wait == half => quarter,
                _ => return Err(silence()),
            };
            if let Ok(answer) = timeout(wait, call.as_mut()).await {
                return answer;
            }
        }
    }

    /// Whether the process works, or waits for other processes that work. It asks through a connection of its own:
    /// those of the pool may all be as silent, or in use.
    async fn works(&self, process: Process) -> Result<bool, sqlx::Error> {
        let mut connection = self.pool.connect_options().connect().await?;
        let select = sqlx::query(include_str!("sql/select_working_process.sql"));
        let row = select.bind(process.id).bind(process.started).fetch_optional(&mut connection).await?;
        Ok(row.is_some())
    }
}

/// The server process behind a connection, unless it is a replica's.
pub(crate) async fn process(connection: &mut PgConnection) -> Result<Process, sqlx::Error> {
    let select = sqlx::query_as(include_str!("sql/select_own_process.sql"));
    let (id, started, server, replica) = select.fetch_one(connection).await?;
    if replica { Err(unsafe_to_read()) } else { Ok(Process { id, started, server }) }
}

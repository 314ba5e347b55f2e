//! Connections between two statements: a caller takes one that was just used, waits for one, or has one opened.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use recount_core::PoolUsage;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::{ATTEMPTS, Database, IDLE};
use crate::error::Cause;
use crate::patience::{self, Process};

/// The name of the pool, for metrics.
const MAIN: &str = "main";

/// A connection and its server process. The process is known so that the store can find out whether it has ended.
pub(crate) struct Line {
    pub(crate) connection: PoolConnection<Postgres>,
    pub(crate) process: Process,
}

/// Connections between two statements. The pool would ask each whether it still lives when it is given back, which is
/// a round trip more for every statement.
pub(super) struct Resting {
    lines: Mutex<Vec<(Line, Instant)>>,
    /// Told of each that is given back.
    given: Notify,
    /// One caller opens a connection at a time. If many callers did so at once, most of these connections would not be
    /// used: the first ones come back to rest before the last ones are open.
    opening: Arc<Semaphore>,
}

impl Default for Resting {
    fn default() -> Self {
        Self { lines: Mutex::default(), given: Notify::default(), opening: Arc::new(Semaphore::new(1)) }
    }
}

impl fmt::Debug for Resting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resting").finish_non_exhaustive()
    }
}

impl Resting {
    fn lines(&self) -> MutexGuard<'_, Vec<(Line, Instant)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves them to the pool, or the others to the operating system if one turned out to be dead.
    pub(super) fn clear(&self, dead: bool) {
        for (line, _) in std::mem::take(&mut *self.lines()) {
            if dead {
                drop(line.connection.detach());
            }
        }
    }
}

impl Resting {
    /// Waits for the task that opens a connection, which has the turn until it ends, and has none start later.
    pub(super) async fn no_more_opens(&self, patience: Duration) {
        if timeout(patience, self.opening.acquire()).await.is_err() {
            tracing::warn!("a connection is still being opened");
        }
        self.opening.close();
    }
}

impl Database {
    /// A connection that rested, if it still lives; if not, the others there are suspects.
    async fn rested(&self, careful: bool) -> Option<Line> {
        while !self.pool.is_closed() {
            let (mut line, since) = self.resting.lines().pop()?;
            if since.elapsed() < IDLE && !careful || patience::answers(&mut line.connection, self.patience()).await {
                return Some(line);
            }
            drop(line.connection.detach());
            self.resting.clear(true);
        }
        None
    }

    /// A connection; if one just turned out to have ended, others may have as well, so that they are asked first.
    pub(crate) async fn line(&self, careful: bool) -> Result<Line, Cause> {
        // Most often a connection was used a moment ago. The rest is boxed: it is rare, and would grow every call.
        if !careful && let Some(line) = self.at_hand() {
            return Ok(line);
        }
        Box::pin(self.any_line_timed(careful)).await
    }

    /// The connections in use and not in use. Those that rest between two statements are not in use.
    pub(crate) fn usage(&self) -> PoolUsage {
        let idle = self.pool.num_idle() + self.resting.lines().len();
        PoolUsage { name: MAIN, size: self.pool.size(), idle: u32::try_from(idle).unwrap_or(u32::MAX) }
    }

    /// The connection that was used last, if that was a moment ago.
    pub(crate) fn at_hand(&self) -> Option<Line> {
        let lately = |(_, since): &mut (Line, Instant)| since.elapsed() < IDLE;
        if self.pool.is_closed() { None } else { self.resting.lines().pop_if(lately).map(|(line, _)| line) }
    }

    async fn any_line_timed(&self, careful: bool) -> Result<Line, Cause> {
        let since = self.waits.start();
        let line = self.any_line(careful).await;
        self.waits.connected(MAIN, since);
        line
    }

    async fn any_line(&self, careful: bool) -> Result<Line, Cause> {
        let patience = sleep(self.patience());
        tokio::pin!(patience);
        loop {
            if let Some(line) = self.rested(careful).await {
                return Ok(line);
            }
            tokio::select! {
                opened = self.open() => match opened {
                    // Another caller may have begun this attempt before the network was back.
                    Err(cause) if cause.is_timeout() => {}
                    opened => opened?,
                },
                () = self.resting.given.notified() => {}
                () = &mut patience => return Err(sqlx::Error::PoolTimedOut.into()),
            }
        }
    }

    /// Has one more connection come to rest. A caller that no longer waits for it leaves it to others. [`close`](Self::close)
    /// waits for the task.
    async fn open(&self) -> Result<(), Cause> {
        let turn = Arc::clone(&self.resting.opening).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let (fails, failed) = oneshot::channel();
        let database = self.clone();
        tokio::spawn(async move {
            match database.fresh().await {
                Ok(line) => database.rest(line),
                Err(cause) => drop(fails.send(cause)),
            }
            drop(turn);
        });
        failed.await.map_or(Ok(()), Err)
    }

    /// A connection from the pool, which must come within half of the patience: a caller that waits behind an attempt
    /// without an answer then has time for another attempt.
    async fn fresh(&self) -> Result<Line, Cause> {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let acquiring = timeout(self.patience() / 2, self.pool.acquire());
            let mut connection = acquiring.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
            let asking = timeout(self.patience() / 4, patience::process(&mut connection));
            let error = match asking.await.unwrap_or_else(|_| Err(patience::silence())) {
                Ok(process) => {
                    self.incarnation.meet(process.server);
                    return Ok(Line { connection, process });
                }
                Err(error) => error,
            };
            // It may have ended since it was last used.
            drop(connection.detach());
            if attempt == ATTEMPTS || started.elapsed() > self.patience() {
                return Err(error.into());
            }
            attempt += 1;
        }
    }

    /// Takes a connection back. Its last statement must have been answered to its end. A connection that is dropped
    /// instead goes to the pool.
    pub(crate) fn rest(&self, line: Line) {
        self.resting.lines().push((line, Instant::now()));
        if self.pool.is_closed() {
            self.resting.clear(false);
        }
        self.resting.given.notify_one();
    }
}

#[cfg(test)]
mod tests;

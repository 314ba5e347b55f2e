//! Asking the database, by connections that may have ended meanwhile.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use recount_core::{PoolUsage, StoreError, StoreWaits};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, PgPool, Postgres};
use sqlx_core::transaction::TransactionManager;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::error::{Cause, Class};
use crate::identity::Identity;
use crate::incarnation::Incarnation;
use crate::patience::{self, Process};
use crate::schema::Schema;
use crate::statement::{Statement, Taker};

/// The maximum number of attempts for a statement that fails because its connection has ended, or because other
/// transactions are in the way.
const ATTEMPTS: usize = 10;
/// The lock timeout of a statement, in multiples of the patience. The lock's holder may wait for this very statement,
/// such as a caller that holds a transaction with an append and now appends outside of it.
const LOCK_PATIENCES: u32 = 6;
/// A connection that was idle for longer is asked whether it still lives.
const IDLE: Duration = Duration::from_secs(1);

/// The name of the pool, for metrics.
const MAIN: &str = "main";

/// A pool of connections and the schema to use.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    pub(crate) schema: Schema,
    pub(crate) incarnation: Incarnation,
    /// The identity of the open store. `None` for a read model.
    pub(crate) identity: Option<Identity>,
    pub(crate) waits: StoreWaits,
    resting: Arc<Resting>,
}

/// A connection and its server process. The process is known so that the store can find out whether it has ended.
pub(crate) struct Line {
    pub(crate) connection: PoolConnection<Postgres>,
    pub(crate) process: Process,
}

/// Connections between two statements. The pool would ask each whether it still lives when it is given back, which is
/// a round trip more for every statement.
struct Resting {
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
    fn clear(&self, dead: bool) {
        for (line, _) in std::mem::take(&mut *self.lines()) {
            if dead {
                drop(line.connection.detach());
            }
        }
    }
}

impl Resting {
    /// Waits for the task that opens a connection, which has the turn until it ends, and has none start later.
    async fn no_more_opens(&self, patience: Duration) {
        if timeout(patience, self.opening.acquire()).await.is_err() {
            tracing::warn!("a connection is still being opened");
        }
        self.opening.close();
    }
}

impl Database {
    pub(crate) fn new(pool: PgPool, schema: Schema) -> Self {
        Self {
            pool,
            schema,
            incarnation: Incarnation::default(),
            identity: None,
            waits: StoreWaits::default(),
            resting: Arc::default(),
        }
    }

    /// The same database, with statements that fail in every store but this one.
    pub(crate) fn of(self, identity: Identity) -> Self {
        let schema = self.schema.of(identity.store, identity.mark);
        Self { schema, identity: Some(identity), ..self }
    }

    pub(crate) async fn close(&self) {
        let closing = self.pool.close();
        // From here on nothing rests any more.
        self.resting.clear(false);
        closing.await;
        self.resting.no_more_opens(self.patience()).await;
    }

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

    /// Asks something that may be asked again.
    pub(crate) async fn read(&self, operation: &'static str, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        let mut rows = Vec::new();
        self.ask(operation, || statement.clone(), true, &mut rows).await?;
        Ok(rows)
    }

    /// The same, but `taker` takes the rows, and the statement is made anew for each attempt.
    pub(crate) fn read_into(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Statement,
        taker: &mut impl Taker,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.ask(operation, statement, true, taker)
    }

    /// Runs a statement that writes, in a transaction of its own.
    pub(crate) async fn write(&self, operation: &'static str, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        let mut rows = Vec::new();
        self.ask(operation, || statement.clone(), false, &mut rows).await?;
        Ok(rows)
    }

    async fn ask(
        &self,
        operation: &'static str,
        statement: impl Fn() -> Statement,
        again: bool,
        taker: &mut impl Taker,
    ) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let mut line = match self.line(attempt > 1).await {
                Ok(line) => line,
                Err(cause) => return Err(self.failure(&cause, operation).await),
            };
            taker.begin();
            let running = statement().run_into(&mut line.connection, taker);
            let ran = self.patiently(line.process, pin!(running)).await;
            let cause = match ran {
                Ok(()) => {
                    self.rest(line);
                    return Ok(());
                }
                Err(error) => Cause::from(error),
            };
            let class = cause.class();
            if matches!(class, Class::Ended | Class::Lost) {
                // Not back to the pool.
                drop(line.connection.detach());
                tokio::time::sleep(pause(attempt)).await;
            }
            match class {
                Class::Ended | Class::Contention if attempt < ATTEMPTS => attempt += 1,
                Class::Lost if again && attempt < ATTEMPTS && started.elapsed() < self.patience() => attempt += 1,
                Class::Unfamiliar => return Err(self.failure(&cause, operation).await),
                _ if again => return Err(cause.store_error(operation)),
                _ => return Err(cause.commit_error(operation)),
            }
        }
    }
}

/// Before another attempt: hardly any at first.
pub(crate) fn pause(attempt: usize) -> Duration {
    Duration::from_millis(u64::try_from(attempt).unwrap_or(u64::MAX).min(50))
}

/// A pool of connections for this crate's statements; `tuned` adds the session settings that suit them.
pub(crate) fn pool(options: PgConnectOptions, size: u32, patience: Duration, tuned: bool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .before_acquire(move |connection, about| {
            async move { Ok(about.idle_for < IDLE || patience::answers(connection, patience).await) }.boxed()
        })
        // The last user may have left a statement under way. The pool waits for it, up to the patience, and counts the
        // connection as in use until then.
        .after_release(move |connection, _| {
            async move {
                timeout(patience, connection.ping()).await.unwrap_or_else(|_| Err(patience::silence()))?;
                // A dropped future may have left a transaction open, which would keep its locks.
                Ok(<Postgres as sqlx::Database>::TransactionManager::get_transaction_depth(connection) == 0)
            }
            .boxed()
        })
        .after_connect(move |connection, _| {
            let script = if tuned { include_str!("sql/tune.sql") } else { include_str!("sql/durable.sql") };
            async move {
                connection.execute(script).await?;
                if tuned {
                    let wait = format!("SET lock_timeout = {}", (patience * LOCK_PATIENCES).as_millis());
                    connection.execute(AssertSqlSafe(wait)).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .connect_lazy_with(options)
}

#[cfg(test)]
mod tests;

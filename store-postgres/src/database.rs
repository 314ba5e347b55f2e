//! Asking the database: statements with their arguments, and connections that may have ended meanwhile.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use recount_core::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, Encode, Executor, PgConnection, PgPool, Postgres, Type};

use crate::error::{Cause, Class};
use crate::schema::Schema;

/// How often a statement is repeated whose connection turned out to have ended, or that others were in the way of.
const ATTEMPTS: usize = 10;
/// A connection that was idle for longer is asked whether it still lives.
const IDLE: Duration = Duration::from_secs(1);

/// A statement for one schema.
#[derive(Clone)]
pub(crate) struct Statement {
    text: String,
    arguments: PgArguments,
    count: usize,
    failed: Option<String>,
}

impl Statement {
    pub(crate) fn new(schema: &Schema, template: &str) -> Self {
        Self { text: schema.text(template), arguments: PgArguments::default(), count: 0, failed: None }
    }

    /// Adds SQL of this program's.
    pub(crate) fn push(&mut self, schema: &Schema, template: &str) -> &mut Self {
        if template.contains('{') {
            self.text.push_str(&schema.text(template));
        } else {
            self.text.push_str(template);
        }
        self
    }

    /// Puts SQL around it.
    pub(crate) fn within(mut self, before: &str, behind: &str) -> Self {
        self.text.insert_str(0, before);
        self.text.push_str(behind);
        self
    }

    /// Adds an argument, for the next number.
    pub(crate) fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.argue(value);
        self
    }

    /// Adds an argument and its number to the text.
    pub(crate) fn place<'t, T: Encode<'t, Postgres> + Type<Postgres>>(&mut self, value: T) -> &mut Self {
        self.argue(value);
        self.text.push_str(&format!("${}", self.count));
        self
    }

    fn argue<'t, T: Encode<'t, Postgres> + Type<Postgres>>(&mut self, value: T) {
        use sqlx::Arguments;
        self.count += 1;
        if let Err(error) = self.arguments.add(value) {
            self.failed = Some(error.to_string());
        }
    }

    /// Runs it to its very end: what it wrote is committed then, unless a transaction is open.
    pub(crate) async fn run(self, connection: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        if let Some(failed) = self.failed {
            return Err(sqlx::Error::Encode(failed.into()));
        }
        sqlx::query_with(AssertSqlSafe(self.text), self.arguments).fetch_all(connection).await
    }
}

/// A pool of connections and the schema to use.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    pub(crate) schema: Schema,
    resting: Arc<Resting>,
}

/// Connections between two statements. The pool would ask each whether it still lives when it is given back, which is
/// a round trip more for every statement.
#[derive(Default)]
struct Resting {
    connections: Mutex<Vec<(PoolConnection<Postgres>, Instant)>>,
    /// How many wait at the pool: they get what is given back.
    waiting: AtomicUsize,
}

impl fmt::Debug for Resting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resting").finish_non_exhaustive()
    }
}

impl Resting {
    fn pop(&self) -> Option<(PoolConnection<Postgres>, Instant)> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Counts who waits at the pool.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Database {
    pub(crate) fn new(pool: PgPool, schema: Schema) -> Self {
        Self { pool, schema, resting: Arc::default() }
    }

    pub(crate) async fn close(&self) {
        let closing = self.pool.close();
        // From here on nothing rests any more.
        while let Some(rested) = self.resting.pop() {
            drop(rested);
        }
        closing.await;
    }

    async fn acquire(&self) -> Result<PoolConnection<Postgres>, Cause> {
        while let Some((mut connection, since)) = self.resting.pop() {
            if self.pool.is_closed() {
                break;
            }
            if since.elapsed() < IDLE || connection.ping().await.is_ok() {
                return Ok(connection);
            }
            drop(connection.detach());
        }
        self.resting.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.resting.waiting);
        // Put there before this one was seen to wait.
        if let Some((connection, _)) = self.resting.pop() {
            return Ok(connection);
        }
        Ok(self.pool.acquire().await?)
    }

    /// Takes a connection back whose last statement was answered to its end. One that is dropped instead goes to the pool.
    fn rest(&self, connection: PoolConnection<Postgres>) {
        self.resting.connections.lock().unwrap_or_else(PoisonError::into_inner).push((connection, Instant::now()));
        if self.pool.is_closed() || self.resting.waiting.load(Ordering::SeqCst) > 0 {
            drop(self.resting.pop());
        }
    }

    /// Asks something that may be asked again.
    pub(crate) async fn read(&self, operation: &'static str, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        self.ask(operation, statement, true).await
    }

    /// Runs a statement that writes, in a transaction of its own.
    pub(crate) async fn write(&self, operation: &'static str, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        self.ask(operation, statement, false).await
    }

    /// A connection; if one just turned out to have ended, others may have as well, so that they are asked first.
    pub(crate) async fn connection(&self, careful: bool) -> Result<PoolConnection<Postgres>, Cause> {
        loop {
            let mut connection = self.acquire().await?;
            if !careful || connection.ping().await.is_ok() {
                return Ok(connection);
            }
            drop(connection.detach());
        }
    }

    async fn ask(&self, operation: &'static str, statement: Statement, again: bool) -> Result<Vec<PgRow>, StoreError> {
        let mut attempt = 1;
        loop {
            let mut connection = self.connection(attempt > 1).await.map_err(|cause| cause.store_error(operation))?;
            let cause = match statement.clone().run(&mut connection).await {
                Ok(rows) => {
                    self.rest(connection);
                    return Ok(rows);
                }
                Err(error) => Cause::from(error),
            };
            let class = cause.class();
            if matches!(class, Class::Ended | Class::Lost) {
                // Not back to the pool.
                drop(connection.detach());
                tokio::time::sleep(pause(attempt)).await;
            }
            match class {
                Class::Ended | Class::Contention if attempt < ATTEMPTS => attempt += 1,
                Class::Lost if again && attempt < ATTEMPTS => attempt += 1,
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

/// A pool whose connections are good for this crate's statements; `tuned` sets what suits them.
pub(crate) fn pool(options: PgConnectOptions, size: u32, patience: Duration, tuned: bool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            async move { Ok(about.idle_for < IDLE || connection.ping().await.is_ok()) }.boxed()
        })
        .after_connect(move |connection, _| {
            let script = if tuned { include_str!("sql/tune.sql") } else { include_str!("sql/durable.sql") };
            async move { connection.execute(script).await.map(drop) }.boxed()
        })
        .connect_lazy_with(options)
}

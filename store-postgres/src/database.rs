//! Asking the database, by connections that may have ended meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use recount_core::{StoreError, StoreWaits, driven};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, PgPool, Postgres};
use sqlx_core::transaction::TransactionManager;
use tokio::time::timeout;

use crate::error::{Cause, Class};
use crate::identity::Identity;
use crate::incarnation::Incarnation;
use crate::patience::{self};
use crate::schema::Schema;
use crate::statement::{Statement, Taker};

mod lines;

pub(crate) use lines::Line;
use lines::Resting;

/// The maximum number of attempts for a statement that fails because its connection has ended, or because other
/// transactions are in the way.
const ATTEMPTS: usize = 10;
/// The lock timeout of a statement, in multiples of the patience. The lock's holder may wait for this very statement,
/// such as a caller that holds a transaction with an append and now appends outside of it.
const LOCK_PATIENCES: u32 = 6;
/// A connection that was idle for longer is asked whether it still lives.
const IDLE: Duration = Duration::from_secs(1);

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

    /// Asks something that may be asked again.
    pub(crate) async fn read(&self, operation: &'static str, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        let database = self.clone();
        driven(operation, async move {
            let mut rows = Vec::new();
            database.ask(operation, || statement.clone(), true, &mut rows).await?;
            Ok(rows)
        })
        .await
    }

    /// The same, but `taker` takes the rows, and the statement is made anew for each attempt. A caller that does not poll it
    /// holds a connection.
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

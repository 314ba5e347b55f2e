//! The store as its users see it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use recount_core::{
    Append, AppendError, Appended, CONFLICT_EVENTS, ExpectedVersion, Home, Position, ReadStream, RecordedEvent,
    StoreError, StoreId, Violation,
};
use sqlx::{Postgres, Transaction};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::PostgresBuilder;
use crate::database::Database;
use crate::import_batch::Session;
use crate::inline::Projections;
use crate::lone::Lone;
use crate::push::{Push, Wake};
use crate::read::Reader;
use crate::read_model::PostgresReadModel;
use crate::request::{Request, Work};
use crate::schema::Schema;
use crate::{migrate, within};

mod contract;

/// The cause of errors after the store's tasks have ended.
const RUNTIME_ENDED: &str =
    "the tokio runtime that opened this store has ended: open a store in the runtime that uses it";

/// The cause of errors while the store's tasks exist but don't run.
const NOT_DRIVEN: &str =
    "the tokio runtime that opened this store is not running: drive it, or open a store in the runtime that uses it";

/// Events in a schema of a Postgres database.
///
/// A cheap handle: clones share a pool and the writer tasks. Dropping the last clone ends the tasks after all pending
/// requests are done; [`close`](recount_core::EventStore::close) waits for that. The tasks also end with the runtime that opened the
/// store: every later call fails. See the [crate] for the guarantees.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// Taken by the first `close`.
    running: Mutex<Option<Running>>,
    closed: AtomicBool,
}

/// The tasks of an open store.
struct Running {
    writers: Vec<JoinHandle<()>>,
    push: Push,
}

/// The parts and tasks of a store that was just opened.
pub(crate) struct Opened {
    pub(crate) parts: Parts,
    pub(crate) writers: Vec<JoinHandle<()>>,
    pub(crate) push: Push,
}

/// The parts of a store.
pub(crate) struct Parts {
    pub(crate) identity: StoreId,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) home: Home,
    pub(crate) lone: Lone,
    pub(crate) reader: Reader,
    /// The store's own receiver, which does not count as a watcher.
    pub(crate) head: watch::Receiver<Position>,
    pub(crate) wake: Wake,
    pub(crate) read_model: PostgresReadModel,
    pub(crate) projections: Option<Arc<Projections>>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.0.parts.reader.database.schema).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens the database with the usual settings, and makes the schema `recount` if it isn't there.
    ///
    /// # Errors
    /// See [`PostgresBuilder::open`].
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).open().await
    }

    /// Opens the database with settings of one's own.
    #[must_use]
    pub fn builder(url: &str) -> PostgresBuilder {
        PostgresBuilder::new(url)
    }

    /// The SQL that makes this schema and its tables, for deployments that don't let the application make tables.
    /// Opening a store runs this SQL only if it has not been run.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if that is no name for a schema.
    pub fn migrations_sql(schema: &str) -> Result<String, StoreError> {
        Ok(migrate::script(&Schema::new(schema)?))
    }

    pub(crate) fn new(opened: Opened) -> Self {
        let Opened { parts, writers, push } = opened;
        let running = Mutex::new(Some(Running { writers, push }));
        Self(Arc::new(Inner { parts, running, closed: AtomicBool::new(false) }))
    }

    /// A read model in the store's own database.
    #[must_use]
    pub fn read_model(&self) -> PostgresReadModel {
        self.0.parts.read_model.clone()
    }

    /// Appends within a transaction of the caller's, in the store's database: the events are there if and when it commits,
    /// together with the transaction's other writes.
    ///
    /// Otherwise it is an [`append`](recount_core::EventStore::append) like any other. If it fails, nothing of it is written, and the
    /// transaction can go on and commit.
    ///
    /// The names that the append depends on stay locked until the transaction ends, and readers don't pass its
    /// positions before: keep the rest of the transaction short. Readers are woken by a `NOTIFY` of the transaction,
    /// for which Postgres lets such transactions commit one at a time.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     store: recount_store_postgres::PostgresStore, pool: sqlx::PgPool, append: recount_core::Append,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut transaction = pool.begin().await?;
    /// sqlx::query("UPDATE legacy SET moved = true").execute(&mut *transaction).await?;
    /// store.append_in(&mut transaction, append).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`append`](recount_core::EventStore::append). A deadlock, which several appends in one transaction can come to, is
    /// [`StoreError::Unavailable`]: roll back and try the whole transaction again. [`StoreError::Backend`] if the
    /// transaction isn't at the level read committed.
    pub async fn append_in(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        append: Append,
    ) -> Result<Appended, AppendError> {
        append.validate()?;
        self.check_open()?;
        let outcome =
            within::append(&self.0.parts.reader, self.0.parts.projections.as_deref(), transaction, &append).await;
        self.explained(outcome).await
    }

    async fn explained(&self, outcome: Result<Appended, AppendError>) -> Result<Appended, AppendError> {
        let Err(AppendError::Conflict(mut conflict)) = outcome else { return outcome };
        for violation in &mut conflict.violations {
            Box::pin(self.explain(violation)).await?;
        }
        Err(conflict.into())
    }

    pub(crate) fn database(&self) -> Result<&Database, StoreError> {
        self.check_open()?;
        Ok(&self.0.parts.reader.database)
    }

    pub(crate) fn importing(&self) -> Result<Session<'_>, StoreError> {
        self.check_open()?;
        Ok(Session::new(&self.0.parts.reader, &self.0.parts.wake, self.0.parts.projections.as_deref()))
    }

    fn check_open(&self) -> Result<(), StoreError> {
        // Before `closed`: a call of `close` in between ends the writer tasks, too.
        let ended = self.0.parts.requests.is_closed();
        if self.0.closed.load(Ordering::Acquire) {
            Err(StoreError::Closed)
        } else if ended {
            // The writer tasks have ended without a call of `close`: their runtime has ended.
            Err(StoreError::Backend { operation: "using the store", source: RUNTIME_ENDED.into() })
        } else {
            Ok(())
        }
    }

    /// Leaves an append to the writers.
    async fn queue(&self, append: Append) -> Result<Appended, AppendError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Append(Work { append, reply, since: self.0.parts.reader.database.waits.start() });
        let unknown = |why: &str| Err(StoreError::OutcomeUnknown { operation: "appending", source: why.into() }.into());
        let answer = async {
            if self.0.parts.requests.send(request).await.is_err() {
                self.check_open()?;
                return Err(StoreError::Closed.into());
            }
            // No answer: the writer's runtime was shut down, before or after the commit.
            answer.await.unwrap_or_else(|_| unknown(RUNTIME_ENDED))
        };
        self.0.parts.home.answer(answer).await.unwrap_or_else(|| unknown(NOT_DRIVEN))
    }

    /// Asks the writers to end, waits for that, and closes the connections.
    async fn end(&self) {
        // Before the writers know: a caller that finds their queue closed looks here for the reason.
        self.0.closed.store(true, Ordering::Release);
        // By each caller: an earlier one may have gone away before it had asked.
        drop(self.0.parts.requests.send(Request::Close).await);
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { writers, push }) = running {
            let mut ended_well = true;
            for writer in writers {
                if let Err(error) = writer.await {
                    tracing::warn!(%error, "a writer did not end well");
                    ended_well = false;
                }
            }
            drop(push);
            self.0.parts.read_model.close().await;
            let database = &self.0.parts.reader.database;
            // Connections that were in use when their runtime ended may never come back.
            if ended_well {
                database.close().await;
            } else if tokio::time::timeout(database.patience(), database.close()).await.is_err() {
                tracing::warn!("connections of a runtime that has ended are not closed");
            }
        }
        // A second caller of `close` waits as well.
        self.0.parts.requests.closed().await;
    }

    /// Adds the newer events, which the caller needs to decide anew after a conflict.
    async fn explain(&self, violation: &mut Violation) -> Result<(), StoreError> {
        let Violation::Version { stream, expected: ExpectedVersion::Exact(expected), actual, newer } = violation else {
            return Ok(());
        };
        if *expected >= *actual {
            return Ok(());
        }
        let mut read = ReadStream::new(stream.clone()).after(*expected);
        read.to = *actual;
        read.limit = Some(CONFLICT_EVENTS as u64);
        let events: Result<Vec<RecordedEvent>, _> = self.0.parts.reader.read_stream(read).try_collect().await;
        match events {
            Ok(events) => *newer = events,
            // Erased since.
            Err(StoreError::StreamErased { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

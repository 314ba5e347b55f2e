//! The store as its users see it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use recount_core::{
    Append, AppendError, Appended, CONFLICT_EVENTS, EventAt, EventStore, EventStream, ExpectedVersion, Home,
    IdempotencyKey, NamedAppend, PoolUsage, Position, ReadAll, ReadStream, RecordedEvent, StoreError, StoreId,
    StoreWaits, StoredNames, StreamId, Violation, driven,
};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::SqliteBuilder;
use crate::error::During;
use crate::handling::refuse_inside;
use crate::push::Push;
use crate::read::{READERS, Reader};
use crate::read_model::SqliteReadModel;
use crate::request::{Asked, Reply, Request, Task, Work};
use crate::write_lock::WriteLock;
use crate::{identity, outcome};

/// The reason for the failure of a store if its tasks don't run.
const NOT_DRIVEN: &str =
    "the tokio runtime that opened this store is not running: drive it, or open a store in the runtime that uses it";

/// Events in one durable SQLite file.
///
/// A cheap handle: clones share one writer and a few reading connections. Dropping the last one ends its tasks
/// after all pending requests are done; [`close`](EventStore::close) waits for that. See the [crate] for the
/// guarantees.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// Taken by the first `close`.
    running: Mutex<Option<Running>>,
    closed: AtomicBool,
}

/// The tasks of an open store.
struct Running {
    writer: JoinHandle<()>,
    _push: Push,
}

/// The result of opening a store.
pub(crate) struct Opened {
    pub(crate) parts: Parts,
    pub(crate) writer: JoinHandle<()>,
    pub(crate) push: Push,
}

/// The parts of a store.
pub(crate) struct Parts {
    pub(crate) identity: StoreId,
    pub(crate) requests: mpsc::Sender<Asked>,
    pub(crate) home: Home,
    pub(crate) reader: Reader,
    pub(crate) head: watch::Receiver<Position>,
    pub(crate) lock: WriteLock,
    pub(crate) path: PathBuf,
    /// All handles share it, so that it knows every projection that runs on it in this process.
    pub(crate) read_model: SqliteReadModel,
    /// The stored names of the events that inline projections decode.
    pub(crate) names: StoredNames,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.parts.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the file with the usual settings, and creates it if it isn't there.
    ///
    /// # Errors
    /// See [`SqliteBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open().await
    }

    /// Opens the file with settings of one's own.
    #[must_use]
    pub fn builder(path: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder::new(path.as_ref())
    }

    pub(crate) fn new(opened: Opened) -> Self {
        let Opened { parts, writer, push } = opened;
        let running = Mutex::new(Some(Running { writer, _push: push }));
        Self(Arc::new(Inner { parts, running, closed: AtomicBool::new(false) }))
    }

    /// The read model in the store's own file. Projections on it and appends take turns, first come, first served. All
    /// calls give the same one: a second projection of a name is refused.
    #[must_use]
    pub fn read_model(&self) -> SqliteReadModel {
        self.0.parts.read_model.clone()
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.parts.path
    }

    pub(crate) async fn reading(&self, operation: &'static str) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.check_open()?;
        self.0.parts.reader.acquire(operation).await
    }

    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        if self.0.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    pub(crate) async fn ask<T, E: From<StoreError>>(
        &self,
        request: impl FnOnce(Reply<T, E>) -> Request,
    ) -> Result<T, E> {
        self.check_open()?;
        refuse_inside(self.0.parts.lock.place(), "writing")?;
        let (reply, answer) = oneshot::channel();
        let asked = Asked { request: request(reply), since: Instant::now() };
        let unknown = |source| Err(StoreError::OutcomeUnknown { operation: "writing", source }.into());
        let answer = async {
            self.0.parts.requests.send(asked).await.map_err(|_| StoreError::Closed)?;
            // No answer: the writer's runtime was shut down, before or after the commit.
            answer.await.unwrap_or_else(|lost| unknown(Box::new(lost)))
        };
        self.0.parts.home.answer(answer).await.unwrap_or_else(|| unknown(NOT_DRIVEN.into()))
    }

    async fn alone(&self, task: Task) -> Result<u64, StoreError> {
        self.ask(|reply| Request::Alone(task, reply)).await
    }

    /// Asks the writer to end, and waits for that.
    async fn end(&self) {
        // Before the writer knows: a caller that finds the queue or a connection closed looks here for the reason.
        self.0.closed.store(true, Ordering::Release);
        // By each caller: an earlier one may have gone away before it had asked.
        let close = Asked { request: Request::Close, since: Instant::now() };
        drop(self.0.parts.requests.send(close).await);
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { writer, _push }) = running
            && let Err(error) = writer.await
        {
            tracing::warn!(%error, "the writer did not end well");
        }
        // A second caller of `close` waits as well.
        self.0.parts.requests.closed().await;
    }

    /// Adds the details that a conflicting writer needs to decide anew.
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

#[async_trait]
impl EventStore for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn pools(&self) -> Vec<PoolUsage> {
        let pool = &self.0.parts.reader.pool;
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        vec![PoolUsage { name: READERS, size: pool.size(), idle }]
    }

    fn queued(&self) -> usize {
        let requests = &self.0.parts.requests;
        requests.max_capacity() - requests.capacity()
    }

    fn waits(&self) -> StoreWaits {
        self.0.parts.reader.waits.clone()
    }

    fn identity(&self) -> StoreId {
        self.0.parts.identity
    }

    fn names(&self) -> StoredNames {
        self.0.parts.names.clone()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.validate()?;
        let outcome = self.ask(|reply| Request::Shared(Work::Append(append, reply))).await;
        let Err(AppendError::Conflict(mut conflict)) = outcome else { return outcome };
        for violation in &mut conflict.violations {
            self.explain(violation).await?;
        }
        Err(conflict.into())
    }

    fn read_stream(&self, read: ReadStream) -> EventStream {
        match self.check_open() {
            Ok(()) => self.0.parts.reader.read_stream(read),
            Err(error) => failed(error),
        }
    }

    fn read_all(&self, read: ReadAll) -> EventStream {
        match self.check_open() {
            Ok(()) => self.0.parts.reader.read_all(read),
            Err(error) => failed(error),
        }
    }

    async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError> {
        const OPERATION: &str = "looking for an append";
        let (store, key) = (self.clone(), key.clone());
        driven(OPERATION, async move {
            let select = sqlx::query(include_str!("sql/select_append.sql")).bind(key.as_str());
            let mut connection = store.reading(OPERATION).await?;
            let row = select.fetch_optional(&mut *connection).await.during(OPERATION)?;
            let decode =
                |row: SqliteRow| outcome::decode(row.try_get(0).during(OPERATION)?, row.try_get(1).during(OPERATION)?);
            row.map(decode).transpose()
        })
        .await
    }

    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
        self.alone(Task::ForgetKeys { older_than, limit }).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        const OPERATION: &str = "reading the head";
        let store = self.clone();
        driven(OPERATION, async move {
            let mut connection = store.reading(OPERATION).await?;
            store.0.parts.reader.head(&mut connection).await
        })
        .await
    }

    async fn event_at(&self, position: Position) -> Result<EventAt, StoreError> {
        const OPERATION: &str = "reading the event at a position";
        let store = self.clone();
        driven(OPERATION, async move { identity::event_at(&mut *store.reading(OPERATION).await?, position).await })
            .await
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.0.parts.head.clone()
    }

    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.alone(Task::Archive(stream.clone())).await.map(drop)
    }

    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.alone(Task::Erase(stream.clone())).await.map(drop)
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.alone(Task::Health).await.map(drop)
    }

    async fn close(&self) {
        if self.0.parts.home.answer(self.end()).await.is_none() {
            tracing::warn!("the store is closed, but what was asked for is not finished: {NOT_DRIVEN}");
        }
    }
}

fn failed(error: StoreError) -> EventStream {
    stream::once(async { Err(error) }).boxed()
}

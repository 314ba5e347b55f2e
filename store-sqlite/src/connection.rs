//! Connections: one that writes, shared in turn, and a few that read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use recount_core::StoreError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use tokio::time::Instant;

use crate::error::Cause;
use crate::identity::identify;
use crate::place::Place;
use crate::transaction::depth;

/// How the connections to one file are made.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) readers: u32,
    pub(crate) page_cache: u64,
    pub(crate) max_size: Option<u64>,
    /// Whether a missing file is created.
    pub(crate) create: bool,
    pub(crate) patience: Duration,
    /// The files that were opened.
    pub(crate) place: Arc<Place>,
}

/// How long SQLite itself waits for the write lock at a time, looking every few milliseconds.
const BUSY: Duration = Duration::from_millis(20);
const PAGE: u64 = 4096;
/// Pages in the write-ahead log after which a commit copies it into the database.
const CHECKPOINT_PAGES: &str = "4096";

impl Settings {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            readers: 4,
            page_cache: 16 * 1024 * 1024,
            max_size: None,
            create: true,
            patience: Duration::from_secs(10),
            place: Arc::default(),
        }
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(self.patience)
            .pragma("cache_size", format!("-{}", self.page_cache / 1024))
            .disable_statement_logging()
    }

    /// A connection that changes nothing about the file by itself.
    pub(crate) async fn inspect(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options().read_only(true).connect().await
    }

    /// A connection that writes, creates the file if it isn't there, and turns on the write-ahead log.
    async fn write(&self) -> Result<SqliteConnection, sqlx::Error> {
        let mut options = self
            .options()
            .create_if_missing(self.create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Whoever begins a transaction tries again until its patience ends.
            .busy_timeout(BUSY)
            .statement_cache_capacity(256)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", "67108864")
            // What is erased is overwritten.
            .pragma("secure_delete", "ON")
            .thread_name(|_| "recount-sqlite-writer".to_owned());
        if let Some(max_size) = self.max_size {
            options = options.pragma("max_page_count", (max_size / PAGE).max(1).to_string());
        }
        options.connect().await
    }

    /// As [`write`](Self::write), waiting while others hold the file: SQLite itself doesn't wait
    /// when the log is turned on or recovered.
    ///
    /// # Errors
    /// [`StoreError`] names the path.
    pub(crate) async fn open(&self) -> Result<SqliteConnection, StoreError> {
        let opened = patiently(self.patience, || self.write()).await;
        opened.map_err(|cause| cause.at(&self.path).store_error("opening the database"))
    }

    /// As [`open`](Self::open), after a connection was given up: only the same file with the same store.
    async fn reopen(&self) -> Result<SqliteConnection, StoreError> {
        const OPERATION: &str = "opening the database again";
        self.place.check_database(OPERATION)?;
        let mut connection = Self { create: false, ..self.clone() }.open().await?;
        if self.place.store().is_some() {
            self.place.check_store(OPERATION, identify(&mut connection).await?)?;
        }
        self.place.check_database(OPERATION)?;
        self.place.remember(&self.path, self.place.store())?;
        Ok(connection)
    }

    pub(crate) fn pool(&self) -> SqlitePool {
        let readers = self.readers.max(1);
        // A replay passes through every reader and fills the cache of each.
        let page_cache = self.page_cache / u64::from(readers);
        SqlitePoolOptions::new()
            .max_connections(readers)
            .acquire_timeout(self.patience.max(Duration::from_secs(1)) * 3)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect({
                let place = Arc::clone(&self.place);
                // A new connection could lead to another file than the others. Only noted here, since the pool would
                // try again and again: who acquires a connection checks.
                move |_, _| {
                    let _ = place.check("opening the database to read");
                    Box::pin(async { Ok(()) })
                }
            })
            .connect_lazy_with(
                self.options()
                    .read_only(true)
                    .pragma("cache_size", format!("-{}", page_cache / 1024))
                    .row_buffer_size(256)
                    .thread_name(|_| "recount-sqlite-reader".to_owned()),
            )
    }
}

/// The one connection of this process that writes to the file. Whoever wants it waits in line: first come, first served.
#[derive(Clone, Debug)]
pub(crate) struct WriteLock {
    settings: Arc<Settings>,
    slot: Arc<Mutex<Slot>>,
    state: Arc<State>,
}

/// What is known of the lock without holding it.
#[derive(Debug, Default)]
struct State {
    closed: AtomicBool,
    /// Who got the last turn, and when.
    holder: std::sync::Mutex<Option<(Holder, Instant)>>,
}

/// Who takes a turn.
#[derive(Clone, Debug)]
pub(crate) enum Holder {
    /// The task that writes.
    Writer,
    /// The transaction of a projection.
    Projection(Box<str>),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writer => f.write_str("the writer of the store"),
            Self::Projection(name) => write!(f, "projection {name}, whose handler has not returned"),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    connection: Option<SqliteConnection>,
    /// How many connections there were before this one.
    generation: u64,
}

/// The turn of one user of the write connection.
#[derive(Debug)]
pub(crate) struct WriteGuard {
    slot: OwnedMutexGuard<Slot>,
    settings: Arc<Settings>,
}

/// The write connection, during the turn of one user.
pub(crate) type TurnConnection = OwnedMappedMutexGuard<Slot, SqliteConnection>;

impl WriteLock {
    pub(crate) fn new(settings: Arc<Settings>, connection: SqliteConnection) -> Self {
        let slot = Slot { connection: Some(connection), ..Slot::default() };
        Self { settings, slot: Arc::new(Mutex::new(slot)), state: Arc::default() }
    }

    /// The files that were opened.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.settings.place
    }

    /// How long to wait for other processes.
    pub(crate) fn patience(&self) -> Duration {
        self.settings.patience
    }

    /// Waits for its turn, until the patience since this instant ends.
    pub(crate) async fn lock(&self, since: Instant, who: Holder) -> Result<WriteGuard, StoreError> {
        let deadline = since.checked_add(self.patience()).unwrap_or(since);
        let turn = tokio::time::timeout_at(deadline, Arc::clone(&self.slot).lock_owned()).await;
        let slot = turn.map_err(|_| self.occupied())?;
        if self.state.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        *self.state.holder.lock().unwrap_or_else(PoisonError::into_inner) = Some((who, Instant::now()));
        Ok(WriteGuard { slot, settings: Arc::clone(&self.settings) })
    }

    /// Somebody else has had the turn for too long.
    fn occupied(&self) -> StoreError {
        let holder = self.state.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.settings.path.display();
        let source = match &*holder {
            Some((holder, since)) => {
                format!("{path} has been locked for {:.1} s by {holder}", since.elapsed().as_secs_f64())
            }
            None => format!("{path} is locked"),
        };
        StoreError::Unavailable { operation: "waiting to write", source: source.into() }
    }

    /// Copies the log into the database and closes the connection for good.
    pub(crate) async fn close(&self) {
        self.state.closed.store(true, Ordering::Release);
        let Ok(mut slot) = tokio::time::timeout(self.patience(), self.slot.lock()).await else {
            let error = self.occupied();
            tracing::warn!(%error, "the connection that writes is still in use, and stays open until it isn't");
            return;
        };
        if let Some(mut connection) = slot.connection.take() {
            let checkpoint = sqlx::raw_sql(include_str!("sql/checkpoint.sql")).execute(&mut connection).await;
            if let Err(error) = checkpoint.and(connection.close().await) {
                tracing::warn!(%error, "the write-ahead log stays beside the database and is taken in at the next open");
            }
        }
    }
}

impl WriteGuard {
    /// The connection, without a transaction; it is opened anew if it was given up.
    pub(crate) async fn connect(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if let Some(connection) = &mut self.slot.connection
            && depth(connection) > 0
        {
            // The last user's transaction was dropped: either its rollback is under way, or it failed.
            let answer = connection.ping().await;
            if answer.is_err() || depth(connection) > 0 {
                self.give_up().await;
            }
        }
        if self.slot.connection.is_none() {
            self.slot.connection = Some(self.settings.reopen().await?);
            self.slot.generation += 1;
        } else if self.place().is_suspect() {
            self.place().check("writing")?;
        }
        self.get().ok_or(StoreError::Closed)
    }

    /// The files that were opened.
    pub(crate) fn place(&self) -> &Place {
        &self.settings.place
    }

    /// The connection by itself, for as long as the turn takes.
    pub(crate) async fn into_connection(mut self) -> Result<TurnConnection, StoreError> {
        self.connect().await?;
        OwnedMutexGuard::try_map(self.slot, |slot| slot.connection.as_mut()).map_err(|_| StoreError::Closed)
    }

    /// The connection, if it was not given up.
    pub(crate) fn get(&mut self) -> Option<&mut SqliteConnection> {
        self.slot.connection.as_mut()
    }

    /// How long to wait for other processes.
    pub(crate) fn patience(&self) -> Duration {
        self.settings.patience
    }

    /// Tells one connection from the next.
    pub(crate) fn generation(&self) -> u64 {
        self.slot.generation
    }

    /// Closes the connection after a failure whose consequences are unknown: SQLite undoes what was open,
    /// and the next user starts afresh.
    pub(crate) async fn give_up(&mut self) {
        if let Some(connection) = self.slot.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing a failed connection");
        }
    }
}

/// Runs until it succeeds, fails for another reason than that the file is busy, or has waited too long.
pub(crate) async fn patiently<T, F>(patience: Duration, mut attempt: impl FnMut() -> F) -> Result<T, Cause>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let started = tokio::time::Instant::now();
    loop {
        match attempt().await.map_err(Cause::from) {
            Err(cause) if cause.is_busy() && started.elapsed() < patience => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            outcome => return outcome,
        }
    }
}

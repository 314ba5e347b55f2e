//! Opens the connections: one that writes, and a few that read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use recount_core::StoreError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use crate::error::Cause;
use crate::identity::identify;
use crate::place::Place;

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
            // The code that begins a transaction tries again until its patience ends.
            .busy_timeout(BUSY)
            .statement_cache_capacity(256)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", "67108864")
            // Erased data is overwritten.
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

    /// As [`open`](Self::open), after a connection was closed: fails if the path leads to another file or store.
    pub(crate) async fn reopen(&self) -> Result<SqliteConnection, StoreError> {
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
                // A new connection may lead to another file than the others. Only record the mismatch, since the pool
                // would retry a failure; the caller that acquires a connection checks.
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

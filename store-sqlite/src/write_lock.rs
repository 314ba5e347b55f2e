//! The lock around the one connection that writes to the file, and its wait with a timeout.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use recount_core::StoreError;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use tokio::time::Instant;

use crate::connection::Settings;
use crate::place::Place;
use crate::transaction::depth;

/// The one connection of this process that writes to the file, behind a fair lock: first come, first served.
#[derive(Clone, Debug)]
pub(crate) struct WriteLock {
    settings: Arc<Settings>,
    slot: Arc<Mutex<Slot>>,
    state: Arc<State>,
}

/// The state of the lock that is read without holding it.
#[derive(Debug, Default)]
struct State {
    closed: AtomicBool,
    /// The last holder of the lock, and when it got the lock.
    holder: std::sync::Mutex<Option<(Holder, Instant)>>,
}

/// A user of the write connection.
#[derive(Clone, Debug)]
pub(crate) enum Holder {
    /// The writer task.
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

/// The file is locked, by another user of the write connection if that is known.
#[derive(Debug)]
pub(crate) struct Occupied {
    path: PathBuf,
    by: Option<(Holder, Duration)>,
}

impl Occupied {
    /// Whether this projection holds the lock.
    pub(crate) fn is_projection(&self, name: &str) -> bool {
        matches!(&self.by, Some((Holder::Projection(holder), _)) if **holder == *name)
    }
}

impl fmt::Display for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.by {
            Some((holder, time)) => write!(f, "{path} has been locked for {:.1} s by {holder}", time.as_secs_f64()),
            None => write!(f, "{path} is locked"),
        }
    }
}

impl std::error::Error for Occupied {}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    connection: Option<SqliteConnection>,
    /// The number of earlier connections.
    generation: u64,
}

/// The guard of the lock, held by one user of the write connection.
#[derive(Debug)]
pub(crate) struct WriteGuard {
    slot: OwnedMutexGuard<Slot>,
    settings: Arc<Settings>,
}

/// The write connection, held by one user.
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

    /// Waits for the lock. The timeout is the patience, counted from `since`.
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

    /// The error of a wait that timed out; it names the holder of the lock.
    fn occupied(&self) -> StoreError {
        let holder = self.state.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let by = holder.as_ref().map(|(holder, since)| (holder.clone(), since.elapsed()));
        let source = Box::new(Occupied { path: self.settings.path.clone(), by });
        StoreError::Unavailable { operation: "waiting to write", source }
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
    /// The connection, without a transaction; it is opened anew if it was closed after a failure.
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

    /// Converts the guard into a guard of the connection alone.
    pub(crate) async fn into_connection(mut self) -> Result<TurnConnection, StoreError> {
        self.connect().await?;
        OwnedMutexGuard::try_map(self.slot, |slot| slot.connection.as_mut()).map_err(|_| StoreError::Closed)
    }

    /// The connection; `None` if it was closed after a failure.
    pub(crate) fn get(&mut self) -> Option<&mut SqliteConnection> {
        self.slot.connection.as_mut()
    }

    /// How long to wait for other processes.
    pub(crate) fn patience(&self) -> Duration {
        self.settings.patience
    }

    /// The number of the current connection.
    pub(crate) fn generation(&self) -> u64 {
        self.slot.generation
    }

    /// Closes the connection after a failure with unknown effect. SQLite rolls its open transaction back, and the next
    /// user gets a new connection.
    pub(crate) async fn give_up(&mut self) {
        if let Some(connection) = self.slot.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing a failed connection");
        }
    }
}

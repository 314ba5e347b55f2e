//! The in-memory store of recount: for tests, examples and caches.
//!
//! It keeps every promise of the store contract except durability: its data lasts as long as its last handle.
//! It is also the worked example for authors of stores: [`EventStore`] and [`StateStore`](recount_core::StateStore) in a few small files,
//! proven by the conformance suite of `recount-testing` (see `tests/suite.rs`).
//!
//! ```
//! use recount_core::{Append, EventData, EventStore, EventType, ExpectedVersion, StreamId};
//! use recount_store_memory::MemoryStore;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let store = MemoryStore::new();
//! let opened = EventData::new(EventType::new("account.opened")?, r#"{"owner":"Ada"}"#);
//! let appended = store.append(Append::to(StreamId::new("account", "1")?, ExpectedVersion::NoStream, vec![opened])).await?;
//! assert_eq!(store.head().await?, appended.position);
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//!
//! One [`RwLock`] guards the log, a [`Mutex`] the state; neither is ever held across an `.await`. The log is a vector by
//! position, with an index per stream, tag, event type and category that lists positions in order, so conditional
//! appends and filtered reads look only at events that one part of the query already selects; reads and conditions that
//! need the indexes of tags, types and categories bring them up to date, so that plain appends don't pay for them.
//! Reads copy references to at most a few hundred events under the lock, then hand them out one by one.
//!
//! Not promised: that memory is given back when streams are erased, beyond the events themselves.

mod clock;
mod index;
mod keys;
mod log;
mod read;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use async_trait::async_trait;
use recount_core::{
    Append, AppendError, Appended, EventAt, EventStore, EventStream, IdempotencyKey, NamedAppend, Position, Query,
    ReadAll, ReadStream, StoreError, StoreId, StreamId,
};
use tokio::sync::watch;

use crate::log::Log;
use crate::state::State;

/// A store in memory. Its clones are handles to the same store.
#[derive(Clone)]
pub struct MemoryStore {
    id: StoreId,
    log: Arc<RwLock<Log>>,
    state: Arc<Mutex<State>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { id: StoreId::new(), log: Arc::default(), state: Arc::default() }
    }

    /// Copies the store with its identity, like a backup of a durable store. For tests.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub fn backup(&self) -> Result<Self, StoreError> {
        let log = self.log()?.copy();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Self { id: self.id, log: Arc::new(RwLock::new(log)), state: Arc::new(Mutex::new(state)) })
    }

    /// Restores this store and all its handles to a [backup](Self::backup): later events are lost. For tests.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if one of them is closed.
    pub fn restore(&self, backup: &Self) -> Result<(), StoreError> {
        let copy = backup.log()?.copy();
        let state = backup.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.log_mut()?.replace(copy);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    fn log(&self) -> Result<RwLockReadGuard<'_, Log>, StoreError> {
        // A panic elsewhere can't leave the log half written: it is only written after all checks.
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
        if log.is_closed() { Err(StoreError::Closed) } else { Ok(log) }
    }

    /// The log, with all that this query needs.
    fn log_for(&self, query: &Query) -> Result<RwLockReadGuard<'_, Log>, StoreError> {
        let log = self.log()?;
        if log.answers(query) {
            return Ok(log);
        }
        drop(log);
        let mut log = self.log_mut()?;
        log.index();
        Ok(RwLockWriteGuard::downgrade(log))
    }

    fn log_mut(&self) -> Result<RwLockWriteGuard<'_, Log>, StoreError> {
        let log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        if log.is_closed() { Err(StoreError::Closed) } else { Ok(log) }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("head", &self.log().map(|log| log.head())).finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn identity(&self) -> StoreId {
        self.id
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.validate()?;
        let append = log::Prepared::new(append);
        self.log_mut()?.append(append)
    }

    fn read_stream(&self, read: ReadStream) -> EventStream {
        read::stream(self.clone(), read)
    }

    fn read_all(&self, read: ReadAll) -> EventStream {
        read::all(self.clone(), read)
    }

    async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError> {
        Ok(self.log()?.find_append(key))
    }

    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
        Ok(self.log_mut()?.forget_keys(older_than, limit))
    }

    async fn head(&self) -> Result<Position, StoreError> {
        Ok(self.log()?.head())
    }

    async fn event_at(&self, position: Position) -> Result<EventAt, StoreError> {
        Ok(self.log()?.event_at(position))
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.log.read().unwrap_or_else(PoisonError::into_inner).watch()
    }

    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.log_mut()?.archive(stream)
    }

    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.log_mut()?.erase(stream)
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.log().map(drop)
    }

    async fn close(&self) {
        self.log.write().unwrap_or_else(PoisonError::into_inner).close();
    }
}

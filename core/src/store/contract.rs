//! The contract of event stores.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::watch;

use crate::{
    Append, AppendError, Appended, EachEvent, EventAt, EventRef, EventStream, IdempotencyKey, NamedAppend, Position,
    ReadAll, ReadStream, StateStore, StoreError, StoreId, StoreWaits, StoredNames, StreamId,
};

/// A store of events. The conformance suite in `recount-testing` tests its guarantees:
///
/// * an append is visible entirely or not at all, also after the process or the machine dies, and an
///   acknowledged append is durable (as far as the store is: a memory store lasts as long as its process);
/// * of appends that exclude each other exactly one wins, and appends that don't never disturb each other;
/// * positions increase in the order in which readers see events: nothing ever appears behind a position already read;
/// * all methods may be called at once from any task and thread, and dropping a future at any point leaves the
///   store usable and the append all-or-nothing;
/// * a read or a question that has begun holds up no other request while its caller does not poll it
///   ([`driven`](crate::driven) runs one in a task of its own). An append and `fold_stream` are driven by their caller.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// The store's identity: drawn when the store was created, the same for all its instances, and kept by backups.
    /// Known since the store was opened.
    fn identity(&self) -> StoreId;

    /// The kind of store, as telemetry names it: `memory`, `sqlite`, `postgresql`. `other` unless overridden.
    fn kind(&self) -> &'static str {
        "other"
    }

    /// The present use of the store's connection pools, for metrics.
    fn pools(&self) -> Vec<PoolUsage> {
        Vec::new()
    }

    /// How many appends wait in the store's queue, for metrics. 0 for a store without one.
    fn queued(&self) -> usize {
        0
    }

    /// The record of waits inside of the store, for metrics.
    fn waits(&self) -> StoreWaits {
        StoreWaits::default()
    }

    /// How long readers have been waiting, at most, for an append that is under way: they don't pass its positions. Zero
    /// unless overridden, for stores that show each append at once.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be asked.
    async fn visibility_lag(&self) -> Result<Duration, StoreError> {
        Ok(Duration::ZERO)
    }

    /// The stored names of the events that the store itself decodes, for inline projections.
    fn names(&self) -> StoredNames {
        StoredNames::default()
    }

    /// Appends events atomically.
    ///
    /// Calls [`Append::validate`] first. If the append is named and its key is known, returns the first outcome
    /// with [`repeated`](Appended::repeated) set, before anything else is checked, even if the streams were archived
    /// or erased since. An append that fails leaves its key free.
    ///
    /// With [`slices`](Append::slices) the outcome of every slice is recorded under its key. If one of the keys is
    /// known, nothing is written.
    ///
    /// An archived or erased stream refuses every append, with any expected version.
    ///
    /// # Errors
    /// See [`AppendError`]. A conflict reports every violated expectation, of streams and of the condition alike.
    /// An event id that is already recorded is reported only if there is no conflict.
    ///
    /// # Cancel safety
    /// A dropped future leaves the append done or not done, never half.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// Reads one stream. A stream that never had events yields [`StoreError::StreamNotFound`], an erased one
    /// [`StoreError::StreamErased`]; an existing one with nothing in the wanted range yields nothing.
    /// Archived streams can be read.
    fn read_stream(&self, read: ReadStream) -> EventStream;

    /// Reads one stream as [`read_stream`](Self::read_stream) does, with the same order and errors, and calls `each`
    /// with each event. Loading an aggregate uses it. A store that overrides it need not read the rest of an event.
    ///
    /// # Errors
    /// [`StoreError`]; `each` may have seen some of the events then, but none of them twice.
    async fn fold_stream(&self, read: ReadStream, each: &mut EachEvent<'_>) -> Result<(), StoreError> {
        let mut events = self.read_stream(read);
        while let Some(event) = events.next().await {
            each(EventRef::from(&event?));
        }
        Ok(())
    }

    /// Reads the whole store. Events appended while reading may be seen or not, but never out of order.
    /// Events of erased streams are not there. A read ends at the head of when it was begun, or soon after.
    fn read_all(&self, read: ReadAll) -> EventStream;

    /// The outcome of the append with this idempotency key, as it was first returned, if there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be asked.
    async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError>;

    /// Forgets idempotency keys that were recorded at least this long ago by the store's clock, together with their
    /// outcomes: at most `limit` of them, the oldest first. Returns their number. The events stay.
    ///
    /// An append with a forgotten key is a new one. Appends go on meanwhile, and several calls at once share the work.
    /// If the answer of a call was lost and the store repeated it, the number may be too small.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; some of the keys may be forgotten then.
    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError>;

    /// The position up to which everything that will ever be there can be read: of the last event, or `START`.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be asked.
    async fn head(&self) -> Result<Position, StoreError>;

    /// Looks up the event at a position among the committed events. Readers use it to notice that a store lost events
    /// that they have handled.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be asked.
    async fn event_at(&self, position: Position) -> Result<EventAt, StoreError>;

    /// Wakes when events were appended, by this instance or another. The value is the newest head that this
    /// instance knows of, which may lag behind [`head`](Self::head). Ends when the store is closed or dropped.
    fn watch(&self) -> watch::Receiver<Position>;

    /// Closes a stream for appends; its events stay readable. Again is harmless.
    ///
    /// # Errors
    /// [`StoreError::StreamNotFound`], [`StoreError::StreamErased`], or the store's failure.
    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError>;

    /// Removes a stream's events for good. Its name is never used again. Again is harmless.
    ///
    /// # Errors
    /// [`StoreError::StreamNotFound`], or the store's failure.
    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError>;

    /// Whether the store answers and can write.
    ///
    /// # Errors
    /// [`StoreError`] names the failure.
    async fn health(&self) -> Result<(), StoreError>;

    /// Finishes the appends under way, then releases the store's resources. Later calls fail with
    /// [`StoreError::Closed`]. Idempotent.
    async fn close(&self);
}

/// The connections of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUsage {
    /// The pool's name, such as `main`.
    pub name: &'static str,
    /// How many connections are open.
    pub size: u32,
    /// How many of them are not in use.
    pub idle: u32,
}

/// Everything that recount needs from one store.
pub trait Store: EventStore + StateStore {}

impl<T: EventStore + StateStore + ?Sized> Store for T {}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        impl<T: EventStore + ?Sized> EventStore for $pointer<T> {
            fn identity(&self) -> StoreId {
                (**self).identity()
            }
            fn kind(&self) -> &'static str {
                (**self).kind()
            }
            fn pools(&self) -> Vec<PoolUsage> {
                (**self).pools()
            }
            fn queued(&self) -> usize {
                (**self).queued()
            }
            fn waits(&self) -> StoreWaits {
                (**self).waits()
            }
            async fn visibility_lag(&self) -> Result<Duration, StoreError> {
                (**self).visibility_lag().await
            }
            fn names(&self) -> StoredNames {
                (**self).names()
            }
            async fn append(&self, append: Append) -> Result<Appended, AppendError> {
                (**self).append(append).await
            }
            fn read_stream(&self, read: ReadStream) -> EventStream {
                (**self).read_stream(read)
            }
            async fn fold_stream(&self, read: ReadStream, each: &mut EachEvent<'_>) -> Result<(), StoreError> {
                (**self).fold_stream(read, each).await
            }
            fn read_all(&self, read: ReadAll) -> EventStream {
                (**self).read_all(read)
            }
            async fn find_append(&self, key: &IdempotencyKey) -> Result<Option<NamedAppend>, StoreError> {
                (**self).find_append(key).await
            }
            async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
                (**self).forget_keys(older_than, limit).await
            }
            async fn head(&self) -> Result<Position, StoreError> {
                (**self).head().await
            }
            async fn event_at(&self, position: Position) -> Result<EventAt, StoreError> {
                (**self).event_at(position).await
            }
            fn watch(&self) -> watch::Receiver<Position> {
                (**self).watch()
            }
            async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
                (**self).archive(stream).await
            }
            async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
                (**self).erase(stream).await
            }
            async fn health(&self) -> Result<(), StoreError> {
                (**self).health().await
            }
            async fn close(&self) {
                (**self).close().await;
            }
        }
    };
}

forward!(Arc);
forward!(Box);

//! Projections: events in, a read model out, each event counted exactly once.

use std::future::Future;
use std::sync::Arc;

use crate::{BoxError, Checkpoint, Event, Metadata, Position, RecordedEvent, StoreError, Transient};

/// Builds a read model from events.
///
/// Handlers may be written as `async fn`. They write through the connection they are given: it belongs to the
/// transaction that also moves the projection's checkpoint, so whatever happens, each event takes effect once.
///
/// ```
/// # extern crate recount_core as recount;
/// use std::collections::HashSet;
/// use std::sync::{Arc, Mutex};
///
/// use recount::{BoxError, Event, InMemory, Projection, Recount, RecordedEvent};
///
/// #[derive(Event)]
/// #[event(name = "user")]
/// enum UserEvent {
///     Registered { name: String },
/// }
///
/// #[derive(Default)]
/// struct Names(Mutex<HashSet<String>>);
///
/// impl Projection for Names {
///     type Event = UserEvent;
///     type ReadModel = InMemory; // with `SqliteReadModel`, the last parameter is a connection in the transaction
///
///     const NAME: &'static str = "names";
///
///     async fn on(&self, event: &UserEvent, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
///         let UserEvent::Registered { name } = event;
///         self.0.lock().map_err(|_| "poisoned")?.insert(name.clone());
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let recount = Recount::new(recount_store_memory::MemoryStore::new());
/// let names = Arc::new(Names::default());
/// let projections = recount.projections().add(Arc::clone(&names), InMemory::new()).start();
/// projections.shutdown().await;
/// # }
/// ```
pub trait Projection: Send + Sync + 'static {
    /// What it listens to: exactly these types are read and decoded.
    type Event: Event;
    /// Where it writes.
    type ReadModel: ReadModel;

    /// Its name, under which its checkpoint is kept. Another name starts from the first event.
    const NAME: &'static str;

    /// Makes the read model ready, for example creates tables. Runs before the first event, at every start.
    fn setup(
        &self,
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Takes one event into the read model.
    fn on(
        &self,
        event: &Self::Event,
        recorded: &RecordedEvent,
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Takes the events of one transaction into the read model, in order: each by [`on`](Self::on), unless a handler
    /// has a better way, such as one statement that writes the rows of them all.
    ///
    /// If such a handler fails on several events, what it wrote is undone and they are taken by `on`, so that those
    /// before the one to blame are kept: `on` must do the same.
    fn on_many(
        &self,
        events: &[(Self::Event, &RecordedEvent)],
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        one_by_one(self, events, connection)
    }
}

/// Which of the events failed, counted from 0, and why.
#[derive(Debug, thiserror::Error)]
#[error("event {at} of a transaction failed")]
pub(crate) struct OneFailed {
    pub(crate) at: usize,
    pub(crate) source: BoxError,
}

/// Takes each event on its own; fails with [`OneFailed`].
pub(crate) async fn one_by_one<P: Projection + ?Sized>(
    projection: &P,
    events: &[(P::Event, &RecordedEvent)],
    connection: &mut <P::ReadModel as ReadModel>::Connection,
) -> Result<(), BoxError> {
    for (at, (event, recorded)) in events.iter().enumerate() {
        let taken = Metadata::caused_by(recorded).scope(projection.on(event, recorded, &mut *connection)).await;
        taken.map_err(|source| OneFailed { at, source })?;
    }
    Ok(())
}

impl<P: Projection> Projection for Arc<P> {
    type Event = P::Event;
    type ReadModel = P::ReadModel;

    const NAME: &'static str = P::NAME;

    async fn setup(&self, connection: &mut <Self::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        (**self).setup(connection).await
    }

    async fn on(
        &self,
        event: &Self::Event,
        recorded: &RecordedEvent,
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        (**self).on(event, recorded, connection).await
    }

    async fn on_many(
        &self,
        events: &[(Self::Event, &RecordedEvent)],
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        (**self).on_many(events, connection).await
    }
}

/// A place that projections write to, and that keeps their checkpoints in the same transaction.
pub trait ReadModel: Send + Sync + 'static {
    /// What handlers write through.
    type Connection: Send;
    /// An open transaction; dropping it undoes it, see [`UNDOES`](Self::UNDOES).
    type Transaction: Send;

    /// How many events to take into one transaction at most.
    const BATCH: usize;

    /// Whether dropping a transaction undoes what was written through its connection. If not, a handler that fails must not have changed
    /// anything, and what the handlers before it did is kept.
    const UNDOES: bool = true;

    /// Starts a transaction and reads the projection's checkpoint in it (`START` if there is none yet).
    fn begin(
        &self,
        projection: &str,
    ) -> impl Future<Output = Result<(Self::Transaction, Checkpoint), StoreError>> + Send;

    /// The connection of an open transaction.
    fn connection(transaction: &mut Self::Transaction) -> &mut Self::Connection;

    /// Runs handlers of a projection while its transaction is open. A read model whose transactions lock the store
    /// marks the task here, so that a write to that store by the handler fails instead of deadlocking.
    fn handling<F>(&self, projection: &'static str, handlers: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send,
    {
        let _ = projection;
        handlers
    }

    /// Moves the checkpoint forward and commits. All parts of the checkpoint are kept, also the store and the event.
    ///
    /// # Errors
    /// [`CheckpointError::Moved`] if the checkpoint is no longer `from`: someone else runs this projection.
    /// Nothing is written then.
    fn commit(
        &self,
        transaction: Self::Transaction,
        projection: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> impl Future<Output = Result<(), CheckpointError>> + Send;
}

/// How moving a checkpoint can fail. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The checkpoint is not where it was left.
    #[error(
        "the checkpoint of projection {projection} was left at {expected} but is at {actual}: it runs elsewhere too"
    )]
    Moved {
        /// The projection's name.
        projection: String,
        /// Where it was left.
        expected: Position,
        /// Where it is.
        actual: Position,
    },
    /// The read model failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Transient for CheckpointError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

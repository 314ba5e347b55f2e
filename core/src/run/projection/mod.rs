//! Projections: events in, a read model out, each event counted exactly once.

mod batch;
mod set_up;
mod task;
mod transaction;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::consumer::guarded;
use super::rebuild::NoReset;
use crate::{BoxError, Event, Metadata, ReadModel, RecordedEvent};
pub(crate) use batch::failed_on;
pub(crate) use task::Projecting;

/// Builds a read model from events.
///
/// Handlers may be written as `async fn`. They write through the connection they are given: it belongs to the
/// transaction that also moves the projection's checkpoint, so each event takes effect once, even after a crash.
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
///     fn name(&self) -> &str {
///         "names"
///     }
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
/// let projections = recount.consumers().projection(Arc::clone(&names), InMemory::new()).start();
/// projections.shutdown().await;
/// # }
/// ```
pub trait Projection: Send + Sync + 'static {
    /// The events that it listens to: exactly these types are read and decoded.
    type Event: Event;
    /// The read model that it writes to.
    type ReadModel: ReadModel;

    /// Its name, under which its checkpoint is kept. Another name starts from the first event. It must not change while
    /// the projection runs.
    fn name(&self) -> &str;

    /// Makes the read model ready, for example creates tables. Runs before the first event, at every start.
    fn setup(
        &self,
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Deletes the projection's data, so that the projection can start over. Runs in the transaction that resets the
    /// checkpoint, if a [rebuild](ReadModel::order_rebuild) was ordered or
    /// [`FilterChange::StartOver`](crate::FilterChange::StartOver) was chosen; [`setup`](Self::setup) follows.
    ///
    /// # Errors
    /// Unless defined, it fails: handling the events again would count them twice.
    fn reset(
        &self,
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = connection;
        async { Err(NoReset.into()) }
    }

    /// Takes one event into the read model. A panic is a failure like any other.
    fn on(
        &self,
        event: &Self::Event,
        recorded: &RecordedEvent,
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Takes the events of one transaction into the read model, in order: each by [`on`](Self::on), unless a handler
    /// has a better way, such as one statement that writes the rows of them all.
    ///
    /// If such a handler fails on several events, its writes are rolled back and each event is taken by `on`, so that
    /// the events before the failing one are kept: `on` must have the same effect. On a read model that
    /// [can't undo writes](ReadModel::UNDOES) it must not have changed any data when it fails, or when it is dropped after
    /// the time limit.
    ///
    /// It runs in a metadata scope of the values that all events have in common: correlation id, actor and trace
    /// context, if they are equal; no causation id if there are several events.
    /// `Metadata::caused_by(recorded).scope(…)` sets one event's own, in which `on` always runs.
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

tokio::task_local! {
    /// How many events of a transaction were handled: where that can't be undone, they must not be handled again if the
    /// others take too long.
    pub(crate) static RETURNED: Arc<AtomicUsize>;
}

/// Takes each event on its own; fails with [`OneFailed`].
pub(crate) async fn one_by_one<P: Projection + ?Sized>(
    projection: &P,
    events: &[(P::Event, &RecordedEvent)],
    connection: &mut <P::ReadModel as ReadModel>::Connection,
) -> Result<(), BoxError> {
    for (at, (event, recorded)) in events.iter().enumerate() {
        let handling = guarded(async { projection.on(event, recorded, &mut *connection).await });
        let taken = Metadata::caused_by(recorded).scope(handling).await;
        taken.map_err(|source| OneFailed { at, source })?;
        if !<P::ReadModel as ReadModel>::UNDOES {
            // Not set for an event that is handled alone.
            let _ = RETURNED.try_with(|returned| returned.fetch_add(1, Ordering::Relaxed));
        }
    }
    Ok(())
}

impl<P: Projection> Projection for Arc<P> {
    type Event = P::Event;
    type ReadModel = P::ReadModel;

    fn name(&self) -> &str {
        (**self).name()
    }

    async fn setup(&self, connection: &mut <Self::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        (**self).setup(connection).await
    }

    async fn reset(&self, connection: &mut <Self::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        (**self).reset(connection).await
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

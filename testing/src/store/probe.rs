//! A projection that records the events that it handles, for any read model.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use recount_core::{BoxError, Consumers, Event, Projection, ReadModel, RecordedEvent, Recount};

/// The events that the suite's projections handle.
#[derive(Event, Clone, Debug)]
#[event(name = "tested", crate = "::recount_core")]
pub struct Tested {}

type Handling = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// The handler of a projection into a [`Target`], and the positions that it has handled.
pub struct Probe {
    taken: Mutex<Vec<u64>>,
    handler: Box<dyn Fn(RecordedEvent) -> Handling + Send + Sync>,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("taken", &self.taken()).finish_non_exhaustive()
    }
}

impl Probe {
    /// A projection that only records the positions of its events.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with(|_| async { Ok(()) })
    }

    /// A projection that calls `handler` with each event, and records its position on success.
    pub fn with<F>(handler: impl Fn(RecordedEvent) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Arc::new(Self { taken: Mutex::default(), handler: Box::new(move |event| Box::pin(handler(event))) })
    }

    /// The positions of the handled events.
    #[must_use]
    pub fn taken(&self) -> Vec<u64> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The probe in one kind of read model.
struct Probing<R>(Arc<Probe>, PhantomData<fn() -> R>);

impl<R: ReadModel> Projection for Probing<R> {
    type Event = Tested;
    type ReadModel = R;

    fn name(&self) -> &str {
        "probe"
    }

    async fn on(&self, _: &Tested, event: &RecordedEvent, _: &mut R::Connection) -> Result<(), BoxError> {
        (self.0.handler)(event.clone()).await?;
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).push(event.position.get());
        Ok(())
    }
}

/// A read model under test.
pub trait Target: Send + Sync {
    /// The read model's place, for messages.
    fn place(&self) -> &'static str;

    /// Whether the read model is unaffected when the store is restored.
    fn is_elsewhere(&self) -> bool;

    /// Starts a projection into the read model, always under the same name.
    fn start(&self, recount: &Recount, probe: Arc<Probe>) -> Consumers;
}

/// A [`Target`] of any type of read model.
#[derive(Debug)]
pub struct Model<R> {
    place: &'static str,
    elsewhere: bool,
    read_model: R,
}

impl<R: ReadModel + Clone> Model<R> {
    /// A read model outside of the store.
    pub fn elsewhere(place: &'static str, read_model: R) -> Box<dyn Target> {
        Box::new(Self { place, elsewhere: true, read_model })
    }

    /// A read model in the store's own file or database.
    pub fn own(place: &'static str, read_model: R) -> Box<dyn Target> {
        Box::new(Self { place, elsewhere: false, read_model })
    }
}

impl<R: ReadModel + Clone> Target for Model<R> {
    fn place(&self) -> &'static str {
        self.place
    }
    fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }
    fn start(&self, recount: &Recount, probe: Arc<Probe>) -> Consumers {
        recount.consumers().projection(Probing(probe, PhantomData), self.read_model.clone()).start()
    }
}

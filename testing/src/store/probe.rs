//! A projection that records what it takes, for any read model.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use recount_core::{BoxError, Event, Projection, Projections, ReadModel, RecordedEvent, Recount};

/// The events of the suite that projections take: those of the type `tested`.
#[derive(Event, Clone, Debug)]
#[event(name = "tested", crate = "::recount_core")]
pub struct Tested {}

type Handling = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// What happens in the handler of a [`Target`], and what it has taken.
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
    /// A projection that only records the positions of what it takes.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with(|_| async { Ok(()) })
    }

    /// A projection that does this with each event, and records its position if that went well.
    pub fn with<F>(handler: impl Fn(RecordedEvent) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Arc::new(Self { taken: Mutex::default(), handler: Box::new(move |event| Box::pin(handler(event))) })
    }

    /// The positions of what was taken.
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

    const NAME: &'static str = "probe";

    async fn on(&self, _: &Tested, event: &RecordedEvent, _: &mut R::Connection) -> Result<(), BoxError> {
        (self.0.handler)(event.clone()).await?;
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).push(event.position.get());
        Ok(())
    }
}

/// A read model that a store is tested with.
pub trait Target: Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> &'static str;

    /// Whether it stays as it is when the store is put back to a copy.
    fn is_elsewhere(&self) -> bool;

    /// Starts a projection into it; always under the same name.
    fn start(&self, recount: &Recount, probe: Arc<Probe>) -> Projections;
}

/// A [`Target`] of any type of read model.
#[derive(Debug)]
pub struct Model<R> {
    place: &'static str,
    elsewhere: bool,
    read_model: R,
}

impl<R: ReadModel + Clone> Model<R> {
    /// A read model that is no part of the store.
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
    fn start(&self, recount: &Recount, probe: Arc<Probe>) -> Projections {
        recount.projections().add(Probing(probe, PhantomData), self.read_model.clone()).start()
    }
}

//! The simplest read model: a value in memory, folded from events by a closure.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::{BoxError, Event, InMemory, Projection, RecordedEvent};

/// A projection that keeps its read model in memory: made anew from the first event at every start.
///
/// ```
/// # use recount_core::{DecodeError, EncodeError, Event, EventData, EventVariant};
/// # struct Deposited { cents: u64 }
/// # impl Event for Deposited {
/// #     fn variants() -> Vec<EventVariant> { vec![] }
/// #     fn encode(&self) -> Result<EventData, EncodeError> { Err(EncodeError::Retired { event_type: "" }) }
/// #     fn decode(_: &str, _: u32, _: &[u8]) -> Result<Self, DecodeError> { Err(DecodeError::unknown_type("")) }
/// # }
/// use recount_core::Fold;
///
/// let total = Fold::new(0, |total: &mut u64, event: &Deposited, _| *total += event.cents);
/// assert_eq!(*total.state(), 0);
/// // Wrapped in an `Arc` and added to `recount.consumers()`, it follows the events.
/// ```
pub struct Fold<E, S, F> {
    state: RwLock<S>,
    fold: F,
    name: Cow<'static, str>,
    event: PhantomData<fn(E)>,
}

impl<E, S, F> Fold<E, S, F>
where
    F: Fn(&mut S, &E, &RecordedEvent),
{
    /// Starts from this value, and takes each event into it.
    pub fn new(start: S, fold: F) -> Self {
        Self { state: RwLock::new(start), fold, name: "fold".into(), event: PhantomData }
    }

    /// Gives it another name than `fold`: two folds that share a read model need names of their own.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The value as it is now. Holding this holds up the projection.
    pub fn state(&self) -> RwLockReadGuard<'_, S> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E, S, F> Projection for Fold<E, S, F>
where
    E: Event,
    S: Send + Sync + 'static,
    F: Fn(&mut S, &E, &RecordedEvent) + Send + Sync + 'static,
{
    type Event = E;
    type ReadModel = InMemory;

    fn name(&self) -> &str {
        &self.name
    }

    async fn on(&self, event: &E, recorded: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        (self.fold)(&mut self.state.write().unwrap_or_else(PoisonError::into_inner), event, recorded);
        Ok(())
    }
}

//! What a projection takes in one transaction, and how that can fail.

use futures_util::{FutureExt, StreamExt};

use crate::{BoxError, Delivery, Event, Position, Projection, ReadModel, RecordedEvent, Subscription};

/// What goes into one transaction.
pub(super) struct Batch {
    pub(super) events: Vec<RecordedEvent>,
    pub(super) to: Position,
    pub(super) caught_up: bool,
}

/// The first delivery and whatever else is there already, up to the read model's batch.
pub(super) fn collect<R: ReadModel>(first: Delivery, deliveries: &mut Subscription) -> Result<Batch, BoxError> {
    let mut batch = Batch { events: Vec::new(), to: first.position(), caught_up: false };
    let mut next = Some(first);
    while let Some(delivery) = next.take() {
        batch.to = delivery.position();
        match delivery {
            Delivery::CaughtUp(_) => batch.caught_up = true,
            Delivery::Event(event) => {
                batch.caught_up = false;
                batch.events.push(event);
            }
        }
        if batch.events.len() < R::BATCH && !batch.caught_up {
            next = deliveries.next().now_or_never().flatten().transpose()?;
        }
    }
    Ok(batch)
}

/// A failure within a transaction.
pub(super) enum Failure {
    /// No event is to blame.
    Whole(BoxError),
    /// One of them is, but which one isn't known.
    Many(BoxError),
    /// This one is, and so many before it went well.
    One { at: usize, error: BoxError },
}

impl Failure {
    pub(super) fn into_error(self) -> BoxError {
        match self {
            Self::Whole(error) | Self::Many(error) | Self::One { error, .. } => error,
        }
    }
}

pub(super) type Decoded<'e, P> = (<P as Projection>::Event, &'e RecordedEvent);

/// The events up to the first that can't be decoded, and what is wrong with that.
pub(super) fn decode<E: Event>(events: &[RecordedEvent]) -> (Vec<(E, &RecordedEvent)>, Option<BoxError>) {
    let mut decoded = Vec::with_capacity(events.len());
    for recorded in events {
        match E::from_recorded(recorded) {
            Ok(event) => decoded.push((event, recorded)),
            Err(error) => return (decoded, Some(failed_on(recorded, error.into()))),
        }
    }
    (decoded, None)
}

pub(super) fn failed_on(recorded: &RecordedEvent, error: BoxError) -> BoxError {
    let event = format!(
        "{} at position {} ({}, version {})",
        recorded.data.event_type, recorded.position, recorded.stream, recorded.version
    );
    Box::new(EventFailed { event, source: error })
}

/// A handler failed on an event.
#[derive(Debug, thiserror::Error)]
#[error("event {event} failed")]
struct EventFailed {
    event: String,
    source: BoxError,
}

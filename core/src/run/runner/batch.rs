//! The batch of events that a projection handles in one transaction, and its failures.

use futures_util::{FutureExt, StreamExt};

use crate::{BoxError, Delivery, Event, Position, Projection, ReadModel, RecordedEvent, Subscription};

/// The events of one transaction.
pub(super) struct Batch {
    pub(super) events: Vec<RecordedEvent>,
    pub(super) to: Position,
    pub(super) caught_up: bool,
}

/// Collects the first delivery and the deliveries that are ready, up to the read model's batch size.
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
    /// A failure that no event caused.
    Whole(BoxError),
    /// A failure that one of the events caused; which one is unknown.
    Many(BoxError),
    /// A failure that the event at this index caused. The events before it succeeded.
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

/// Decodes the events up to the first that fails, and returns the error of that one.
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

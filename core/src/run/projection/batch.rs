//! The batch of events that a projection handles in one transaction, and its failures.

use futures_util::FutureExt;

use crate::run::consumer::Delivered;
use crate::{BoxError, Checkpoint, Event, RecordedEvent, Source};

/// The events of one transaction.
pub(super) struct Batch {
    pub(super) events: Vec<RecordedEvent>,
    /// The mark of the last delivery, as the source gave it.
    pub(super) to: Checkpoint,
    pub(super) caught_up: bool,
    /// The failure of the source behind these deliveries.
    pub(super) broken: Option<BoxError>,
}

/// Collects the first delivery and the deliveries that are ready, up to so many events.
pub(super) fn collect<S>(first: Delivered<S>, source: &mut S, limit: usize) -> Batch
where
    S: Source<Item = RecordedEvent, Mark = Checkpoint>,
{
    let mut batch = Batch { events: Vec::new(), to: Checkpoint::START, caught_up: false, broken: None };
    let mut next = Some(first);
    while let Some(delivered) = next.take() {
        match delivered {
            Delivered::CaughtUp { mark } => {
                batch.to = mark.unwrap_or(batch.to);
                batch.caught_up = true;
            }
            Delivered::Item { item, mark, .. } => {
                batch.to = mark.unwrap_or(batch.to);
                batch.caught_up = false;
                batch.events.push(item);
            }
        }
        if batch.events.len() < limit && !batch.caught_up {
            match source.next().now_or_never().transpose() {
                Ok(delivered) => next = delivered,
                Err(error) => batch.broken = Some(error),
            }
        }
    }
    batch
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

pub(super) type Decoded<'e, E> = (E, &'e RecordedEvent);

/// Decodes the events up to the first that fails, and returns the error of that one.
pub(super) fn decode<E: Event>(events: &[RecordedEvent]) -> (Vec<Decoded<'_, E>>, Option<BoxError>) {
    let mut decoded = Vec::with_capacity(events.len());
    for recorded in events {
        match E::from_recorded(recorded) {
            Ok(event) => decoded.push((event, recorded)),
            Err(error) => return (decoded, Some(failed_on(recorded, error.into()))),
        }
    }
    (decoded, None)
}

pub(crate) fn failed_on(recorded: &RecordedEvent, error: BoxError) -> BoxError {
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

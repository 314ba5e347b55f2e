//! There and back: the stored form of the events that a test mentions.

use std::fmt::Debug;

use recount_core::{EncodeError, Event, EventData};

use crate::diff::diff;

/// The event as it is after storing and reading it. One that is only read, never written, stays as it is.
#[track_caller]
pub(super) fn stored<E: Event + Debug + PartialEq>(event: E) -> (Option<EventData>, E) {
    let data = match event.encode() {
        Ok(data) => data,
        Err(EncodeError::Retired { .. }) => return (None, event),
        Err(error) => fail(&format!("this event can't be stored: {}\n{event:#?}", causes(&error))),
    };
    let read = match E::decode(data.event_type.as_str(), data.schema_version, &data.payload) {
        Ok(read) => read,
        Err(error) => fail(&format!("this event can be stored but not read again: {}\n{event:#?}", causes(&error))),
    };
    if read != event {
        let diff = diff(&format!("{event:#?}"), &format!("{read:#?}"));
        fail(&format!("this event is not the same after storing it (- before, + after):\n{diff}"));
    }
    (Some(data), read)
}

/// The error and its causes, in one line.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[track_caller]
#[expect(clippy::panic, reason = "a test reports by panicking")]
pub(super) fn fail(message: &str) -> ! {
    panic!("{message}")
}

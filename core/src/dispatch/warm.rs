//! The state of a warm aggregate, and the ways in which it takes events.

use super::LoadError;
use crate::{Apply, Event, EventRef, StreamId, StreamVersion};

/// An aggregate's state, as of a version of its stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Warm<A> {
    pub(super) state: A,
    pub(super) version: StreamVersion,
    /// The version of the newest snapshot that is known to be kept.
    pub(super) snapshot: StreamVersion,
}

impl<A: Apply> Warm<A> {
    /// Decodes a recorded event and applies it.
    pub(super) fn apply(&mut self, stream: &StreamId, event: EventRef<'_>) -> Result<(), LoadError> {
        let EventRef { version, event_type, schema_version, payload } = event;
        let decoded = A::Event::decode(event_type, schema_version, payload);
        self.state.apply(&decoded.map_err(|source| LoadError::Decode { stream: stream.clone(), version, source })?);
        self.version = version;
        Ok(())
    }

    /// Applies events that were decided on this state.
    pub(super) fn take(&mut self, events: &[A::Event]) {
        events.iter().for_each(|event| self.state.apply(event));
        self.version = StreamVersion::new(self.version.get() + events.len() as u64);
    }
}

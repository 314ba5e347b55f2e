//! The commands that follow from an event, each sent under a key of its own.

use std::sync::Arc;

use super::Commands;
use crate::dispatch::Engine;
use crate::{BoxError, IdempotencyKey, Metadata, NameError, RecordedEvent, Store};

/// The longest name of a reaction or activity: idempotency keys have 512 bytes, of which the rest needs these.
const LONGEST_NAME: usize = 400;

/// Sends the commands of a reaction or an activity.
pub(super) struct Responder {
    engine: Arc<Engine>,
    kind: &'static str,
    name: String,
}

impl Responder {
    pub(super) fn new(engine: Arc<Engine>, kind: &'static str, name: &str) -> Result<Self, NameError> {
        if name.len() > LONGEST_NAME {
            let start = name.chars().take(32).collect();
            return Err(NameError::TooLong { kind, length: name.len(), limit: LONGEST_NAME, start });
        }
        Ok(Self { engine, kind, name: name.to_owned() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.engine.store
    }

    /// The key of everything that follows from an event.
    pub(super) fn key(&self, recorded: &RecordedEvent) -> Result<IdempotencyKey, NameError> {
        IdempotencyKey::of_response(self.kind, &self.name, recorded.data.id, None)
    }

    /// The metadata of the commands. An event without a correlation id starts a conversation.
    pub(super) fn metadata(&self, recorded: &RecordedEvent) -> Metadata {
        let mut metadata = Metadata::caused_by(recorded);
        if metadata.correlation_id.is_none() {
            metadata.correlation_id = metadata.causation_id.clone();
        }
        metadata
    }

    /// Sends the commands, one after the other.
    pub(super) async fn dispatch(
        &self,
        recorded: &RecordedEvent,
        metadata: &Metadata,
        commands: &Commands,
    ) -> Result<(), BoxError> {
        let key = |index| IdempotencyKey::of_response(self.kind, &self.name, recorded.data.id, Some(index));
        commands.dispatch(&self.engine, metadata, key).await
    }
}

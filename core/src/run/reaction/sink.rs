//! The sink of a reaction: decodes an event, and dispatches the commands that follow from it.

use std::sync::Arc;

use super::Reaction;
use crate::dispatch::Engine;
use crate::run::consumer::guarded;
use crate::run::projection::failed_on;
use crate::{BoxError, Event, IdempotencyKey, Metadata, NameError, RecordedEvent, Sink};

/// The longest name of a reaction: idempotency keys have 512 bytes, of which the rest needs these.
const LONGEST_NAME: usize = 400;

/// A reaction and where it sends commands.
pub(crate) struct Reacting<R> {
    engine: Arc<Engine>,
    reaction: R,
    /// The name that the idempotency keys contain.
    name: String,
}

impl<R: Reaction> Reacting<R> {
    pub(crate) fn new(engine: Arc<Engine>, reaction: R) -> Result<Self, NameError> {
        let name = reaction.name();
        if name.len() > LONGEST_NAME {
            let start = name.chars().take(32).collect();
            return Err(NameError::TooLong { kind: "reaction", length: name.len(), limit: LONGEST_NAME, start });
        }
        let name = name.to_owned();
        Ok(Self { engine, reaction, name })
    }

    async fn react(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        let event = R::Event::from_recorded(recorded)?;
        let metadata = metadata(recorded);
        let commands = metadata.clone().scope(self.reaction.on(&event, recorded)).await?;
        for (number, pending) in commands.commands.iter().enumerate() {
            let key = match &pending.key {
                Some(key) => key.clone(),
                None => IdempotencyKey::of_reaction(&self.name, recorded.data.id, number)?,
            };
            pending.dispatch(&self.engine, metadata.clone(), key).await?;
        }
        Ok(())
    }
}

/// The metadata of the commands that a reaction dispatches. An event without a correlation id starts a conversation.
fn metadata(recorded: &RecordedEvent) -> Metadata {
    let mut metadata = Metadata::caused_by(recorded);
    if metadata.correlation_id.is_none() {
        metadata.correlation_id = metadata.causation_id.clone();
    }
    metadata
}

impl<R: Reaction> Sink for Reacting<R> {
    type Item = RecordedEvent;

    async fn take(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        guarded(self.react(recorded)).await.map_err(|error| failed_on(recorded, error))
    }
}

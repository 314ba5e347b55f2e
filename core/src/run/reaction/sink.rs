//! The sink of a reaction: decodes an event, and dispatches the commands that follow from it.

use std::sync::Arc;

use super::Reaction;
use super::responder::Responder;
use crate::dispatch::Engine;
use crate::run::consumer::guarded;
use crate::run::projection::failed_on;
use crate::{BoxError, Event, NameError, RecordedEvent, Sink};

/// A reaction and where it sends commands.
pub(crate) struct Reacting<R> {
    reaction: R,
    responder: Responder,
}

impl<R: Reaction> Reacting<R> {
    pub(crate) fn new(engine: Arc<Engine>, reaction: R) -> Result<Self, NameError> {
        let responder = Responder::new(engine, "reaction", reaction.name())?;
        Ok(Self { reaction, responder })
    }

    async fn react(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        let event = R::Event::from_recorded(recorded)?;
        let metadata = self.responder.metadata(recorded);
        let commands = metadata.clone().scope(self.reaction.on(&event, recorded)).await?;
        self.responder.dispatch(recorded, &metadata, &commands).await
    }
}

impl<R: Reaction> Sink for Reacting<R> {
    type Item = RecordedEvent;

    async fn take(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        guarded(self.react(recorded)).await.map_err(|error| failed_on(recorded, error))
    }
}

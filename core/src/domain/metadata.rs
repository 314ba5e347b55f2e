//! Metadata that is passed on by itself: the commands and events of a handler belong to the same conversation.

use std::future::Future;

use uuid::Uuid;

use crate::{Metadata, RecordedEvent};

tokio::task_local! {
    static CURRENT: Metadata;
}

impl Metadata {
    /// The metadata of a reaction to the event: the same conversation and actor, with the event as the cause.
    #[must_use]
    pub fn caused_by(event: &RecordedEvent) -> Self {
        let of = &event.data.metadata;
        let mut id = Uuid::encode_buffer();
        Self {
            correlation_id: of.correlation_id.clone(),
            causation_id: Some((&*event.data.id.0.hyphenated().encode_lower(&mut id)).into()),
            actor: of.actor.clone(),
            traceparent: of.traceparent.clone(),
            headers: std::collections::BTreeMap::new(),
        }
    }

    /// Runs the future such that everything it dispatches carries this metadata, unless it says otherwise.
    /// A web handler wraps its work in this once. Tasks that the future spawns start anew.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// The metadata of the scope that this code runs in; empty outside of any.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }
}

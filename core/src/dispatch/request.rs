//! What accompanies a command or decision: metadata and idempotency key.

use std::sync::Arc;

use uuid::fmt::Hyphenated;

use crate::{EventId, IdempotencyKey, Metadata};

/// The circumstances that a caller gives to a command or decision.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) metadata: Metadata,
    pub(crate) key: Option<IdempotencyKey>,
}

impl Request {
    /// Inherits the metadata of the scope it is made in.
    pub(crate) fn new() -> Self {
        Self { metadata: Metadata::current(), key: None }
    }

    /// Every event belongs to a conversation; the first one starts it.
    pub(crate) fn metadata(&self) -> Metadata {
        let mut metadata = self.metadata.clone();
        metadata.correlation_id.get_or_insert_with(|| {
            let id = EventId::new().0.hyphenated();
            Arc::from(&*id.encode_lower(&mut [0; Hyphenated::LENGTH]))
        });
        metadata
    }
}

/// The options that commands and decisions share; needs a field `request: Request`.
macro_rules! request_options {
    () => {
        /// Makes repetition harmless: the same key with the same content returns the first outcome and adds nothing,
        /// for ever. The key is unique in the store.
        pub fn idempotency_key(mut self, key: crate::IdempotencyKey) -> Self {
            self.request.key = Some(key);
            self
        }

        /// Who asks; recorded with the events.
        pub fn actor(mut self, actor: &str) -> Self {
            self.request.metadata.actor = Some(actor.into());
            self
        }

        /// What the events carry, instead of the [current](crate::Metadata::current) metadata.
        pub fn metadata(mut self, metadata: crate::Metadata) -> Self {
            self.request.metadata = metadata;
            self
        }
    };
}
pub(crate) use request_options;

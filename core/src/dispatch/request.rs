//! The metadata and idempotency key of a command or decision.

use std::sync::Arc;

use uuid::fmt::Hyphenated;

use crate::{EventId, IdempotencyKey, Metadata};

/// The circumstances that a caller gives to a command or decision.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) metadata: Metadata,
    pub(crate) key: Option<IdempotencyKey>,
    /// Whether a refusal is kept under the key.
    pub(crate) keeps_refusal: bool,
}

impl Request {
    /// Inherits the metadata of the scope it is made in.
    pub(crate) fn new() -> Self {
        Self { metadata: Metadata::current(), key: None, keeps_refusal: false }
    }

    /// The metadata of the events. Every event belongs to a conversation; the first one starts it. If the request is in a
    /// trace, that replaces the trace that its metadata came with.
    pub(crate) fn metadata(&self, traceparent: Option<&Arc<str>>) -> Metadata {
        let mut metadata = self.metadata.clone();
        if let Some(traceparent) = traceparent {
            metadata.traceparent = Some(Arc::clone(traceparent));
        }
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
        /// Records a refusal under the idempotency key, too: a repeated request fails with
        /// [`RefusedEarlier`](crate::DispatchError::RefusedEarlier), even if the state would accept it now. By default
        /// a refused request leaves its key free, and a repetition is decided anew. Has no effect without a key.
        ///
        /// The refusal is an event of type `recount.refused` in the stream `recount.refused/KEY`.
        pub fn keep_refusal(mut self) -> Self {
            self.request.keeps_refusal = true;
            self
        }

        /// Sets the actor that is recorded with the events.
        pub fn actor(mut self, actor: &str) -> Self {
            self.request.metadata.actor = Some(actor.into());
            self
        }

        /// Sets the metadata of the events, instead of the [current](crate::Metadata::current) metadata.
        pub fn metadata(mut self, metadata: crate::Metadata) -> Self {
            self.request.metadata = metadata;
            self
        }
    };
}
pub(crate) use request_options;

/// The option of commands to have an idempotency key.
macro_rules! key_options {
    () => {
        /// Makes the command idempotent: the same key with the same command always returns the first outcome and
        /// appends nothing. An outcome without events is recorded too, and a refusal if
        /// [requested](Self::keep_refusal).
        ///
        /// The same key with another command is [refused](crate::AppendError::KeyReused). A field that is added to the
        /// command later is ignored in this comparison while it holds its default value. A command with a value that
        /// JSON can't tell from another one, such as a NaN, is [malformed](crate::DispatchError::Malformed). Use a
        /// `BTreeSet` instead of a `HashSet`, which serializes in another order each time. The key is unique in the store.
        pub fn idempotency_key(mut self, key: crate::IdempotencyKey) -> Self {
            self.request.key = Some(key);
            self
        }
    };
}
pub(crate) use key_options;

//! Refusals as outcomes: they are recorded under an idempotency key although they have no domain event.
//!
//! A kept refusal is an event of type [`REFUSED`] in a stream of its own, appended under the key. A key has one
//! outcome, so the store accepts either the refusal or the events of the request: the first of them that is appended.

use std::error::Error;

use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::engine::Engine;
use super::{DispatchError, LoadError, Refusal};
use crate::{
    Append, AppendError, Appended, EventData, EventType, ExpectedVersion, Idempotency, InvalidAppend, Metadata,
    ReadStream, StoreError, StreamAppend, StreamId, StreamVersion, Violation, codec,
};

/// The type of the event that keeps a refusal, and the category of its stream. The stream's id is the key.
const REFUSED: &str = "recount.refused";

#[derive(Serialize, Deserialize)]
struct Refused {
    /// The aggregate and command, or the decision.
    request: String,
    kind: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
}

impl Engine {
    /// Records a refusal as the outcome of the request. Returns the earlier outcome if the key has one.
    pub(super) async fn keep_refusal<E: Error + 'static>(
        &self,
        request: &str,
        idempotency: &Idempotency,
        refusal: Refusal,
        metadata: &Metadata,
    ) -> Result<Option<Appended>, DispatchError<E>> {
        let Refusal { kind, message, json, .. } = refusal;
        let refused = Refused { request: request.to_owned(), kind, message, json };
        let payload = codec::to_json(REFUSED, &refused)?;
        let first = self.settle(REFUSED, payload, idempotency, metadata).await?;
        Ok(first.repeated.then_some(first))
    }

    /// The refusal, if the first outcome is a refusal.
    pub(super) async fn kept_refusal(&self, first: &Appended) -> Result<Option<Refusal>, LoadError> {
        let Some(kept) = first.streams.first().filter(|part| part.stream.category() == REFUSED) else {
            return Ok(None);
        };
        let damaged = |what: String| StoreError::Damaged { what: format!("the refusal in {}: {what}", kept.stream) };
        // A key that was forgotten can be refused again, so the stream may hold more than this event.
        let last = StreamVersion::new(kept.version.get().saturating_sub(1));
        let event = self.store.read_stream(ReadStream::new(kept.stream.clone()).after(last)).next().await;
        let event = match event {
            Some(Err(StoreError::StreamErased { .. })) => return Ok(Some(erased())),
            event => event.ok_or_else(|| damaged("there is no event".to_owned()))??,
        };
        let refused: Refused =
            codec::from_json(REFUSED, 1, &event.data.payload).map_err(|error| damaged(error.to_string()))?;
        let Refused { kind, message, json, .. } = refused;
        Ok(Some(Refusal::kept(kind, message, json)))
    }

    /// Records one of the runtime's events as the outcome of a key. The event's type names the stream's category, and the
    /// key its id; or the event's own id, if that stream was archived or erased.
    pub(super) async fn settle(
        &self,
        event_type: &'static str,
        payload: Bytes,
        idempotency: &Idempotency,
        metadata: &Metadata,
    ) -> Result<Appended, AppendError> {
        let event =
            EventData { metadata: metadata.clone(), ..EventData::new(EventType::from_static(event_type), payload) };
        let append = |id: &str| {
            let stream = StreamId::new(event_type, id)?;
            Ok::<_, InvalidAppend>(Append {
                streams: vec![StreamAppend { stream, expected: ExpectedVersion::Any, events: vec![event.clone()] }],
                idempotency: Some(idempotency.clone()),
                ..Append::default()
            })
        };
        match self.append(append(idempotency.key.as_str())?).await {
            Err(closed) if is_closed(&closed) => self.append(append(&event.id.to_string())?).await,
            settled => settled,
        }
    }
}

/// A refusal of which nothing is left.
fn erased() -> Refusal {
    Refusal::kept("Erased".to_owned(), "the refusal was erased".to_owned(), None)
}

/// An append that records an outcome without events and names no stream: the stream is archived or erased.
pub(super) fn nothing(idempotency: &Idempotency) -> Append {
    Append { idempotency: Some(idempotency.clone()), ..Append::default() }
}

/// Whether the append failed because one of its streams is erased.
pub(super) fn is_erased(error: &AppendError) -> bool {
    let AppendError::Conflict(conflict) = error else { return false };
    conflict.violations.iter().any(|violation| matches!(violation, Violation::Erased { .. }))
}

/// Whether the append failed because one of its streams is archived or erased. Such a conflict is final.
pub(crate) fn is_closed(error: &AppendError) -> bool {
    matches!(error, AppendError::Conflict(conflict) if !conflict.can_retry())
}

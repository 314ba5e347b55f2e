//! Events as stores hold them: [`EventData`] to write, [`RecordedEvent`] read back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, Position, StreamId, StreamVersion, Tag};

/// A moment in UTC. Stores keep microseconds.
pub use jiff::Timestamp;

/// Identifies one event for ever, in every store and message it passes through. Time-ordered (UUID version 7),
/// but never an order to read by: use [`Position`] for that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// A new id, unlike any other.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "every call gives another value")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The metadata of an event: context that is stored beside its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The conversation that this event belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Arc<str>>,
    /// The message that caused this event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Arc<str>>,
    /// The user or program that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Arc<str>>,
    /// W3C Trace Context `traceparent` of the span that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Arc<str>>,
    /// Anything else the application wants to keep.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// An event to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventData {
    /// Identifies the event; a store refuses an id that it already holds.
    pub id: EventId,
    /// The kind of event.
    pub event_type: EventType,
    /// Which version of the payload's shape this is, from 1.
    pub schema_version: u32,
    /// The encoded event: any bytes. Stores return them unchanged.
    pub payload: Bytes,
    /// The tags by which queries and append conditions can select this event.
    pub tags: Vec<Tag>,
    /// The context of the event, such as its correlation id.
    pub metadata: Metadata,
}

impl EventData {
    /// An event with a new id, schema version 1, no tags and no metadata.
    #[must_use]
    pub fn new(event_type: EventType, payload: impl Into<Bytes>) -> Self {
        Self {
            id: EventId::new(),
            event_type,
            schema_version: 1,
            payload: payload.into(),
            tags: Vec::new(),
            metadata: Metadata::default(),
        }
    }
}

/// An event as the store recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its place in the whole store.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place in that stream.
    pub version: StreamVersion,
    /// When the store recorded it, by the store's clock, in microseconds. Not an order: clocks step back.
    pub recorded_at: Timestamp,
    /// The event as it was appended.
    pub data: EventData,
}

/// A recorded event as folding takes it, lent by the store: see [`EventStore::fold_stream`](crate::EventStore::fold_stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef<'a> {
    /// Its place in its stream.
    pub version: StreamVersion,
    /// The kind of event.
    pub event_type: &'a str,
    /// Which version of the payload's shape this is.
    pub schema_version: u32,
    /// The encoded event.
    pub payload: &'a [u8],
}

/// A callback for each event of a stream that is folded.
pub type EachEvent<'a> = dyn for<'e> FnMut(EventRef<'e>) + Send + 'a;

impl<'a> From<&'a RecordedEvent> for EventRef<'a> {
    fn from(event: &'a RecordedEvent) -> Self {
        let data = &event.data;
        Self {
            version: event.version,
            event_type: data.event_type.as_str(),
            schema_version: data.schema_version,
            payload: &data.payload,
        }
    }
}

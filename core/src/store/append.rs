//! Appending: the request, its expectations and condition, and its outcome.

use std::ops::Range;

use uuid::Uuid;

use super::digest;
use crate::{AppendError, EventData, IdempotencyKey, InvalidAppend, Position, Query, StreamId, StreamVersion};

/// The greatest payload of one event, in bytes, on every store.
pub const MAX_PAYLOAD: usize = 16 * 1024 * 1024;
/// The greatest number of events of one append, on every store.
pub const MAX_EVENTS: usize = 100_000;
/// How many of the events that a conflict is about it carries at most.
pub const CONFLICT_EVENTS: usize = 256;

/// A request to append events: all of them become visible at once, or none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// The events, stream by stream; no stream twice. Positions follow this order. At least one stream with at least
    /// one event each. Only an append with an idempotency key may have no events; it records the empty outcome.
    pub streams: Vec<StreamAppend>,
    /// A condition that must also hold at the moment of the append.
    pub condition: Option<AppendCondition>,
    /// Makes a repetition of this append return the first outcome and write nothing.
    pub idempotency: Option<Idempotency>,
    /// Requests that share this append, each with a key of its own. If one of the keys is known, nothing is written,
    /// and the append fails with [`AppendError::KeysKnown`].
    pub slices: Vec<KeyedSlice>,
}

/// The part of an append that belongs to one request: some events of one stream, or no events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedSlice {
    /// The request.
    pub idempotency: Idempotency,
    /// The index of the stream in [`Append::streams`].
    pub stream: usize,
    /// The indexes of the events in [`StreamAppend::events`].
    pub events: Range<usize>,
}

impl KeyedSlice {
    /// The outcome of this slice's request, from the outcome of the whole append: the stream's version after the events
    /// of the slice, and the position of the last event of the append, or `START` if the slice has no events.
    #[must_use]
    pub fn outcome(&self, whole: &Appended) -> Option<NamedAppend> {
        let part = whole.streams.get(self.stream)?;
        let before = part.version.get().saturating_sub(part.count);
        let (end, count) = (self.events.end as u64, self.events.len() as u64);
        let streams =
            vec![StreamAppended { stream: part.stream.clone(), version: StreamVersion::new(before + end), count }];
        let position = if count > 0 { whole.position } else { Position::START };
        let appended = Appended { position, streams, repeated: false };
        Some(NamedAppend { digest: self.idempotency.digest, appended })
    }
}

/// The events for one stream of an [`Append`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAppend {
    /// Where they go.
    pub stream: StreamId,
    /// The version that the stream must have.
    pub expected: ExpectedVersion,
    /// The events. If empty, the append only checks the expected version, and must have an idempotency key. It does not
    /// create the stream.
    pub events: Vec<EventData>,
}

/// The version that a stream must have for an append to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// It doesn't matter.
    Any,
    /// The stream has no events.
    NoStream,
    /// The stream has events.
    StreamExists,
    /// The stream's last event has this version; `Exact(StreamVersion::EMPTY)` is the same as `NoStream`.
    Exact(StreamVersion),
}

impl ExpectedVersion {
    /// Whether a stream at this version is as expected.
    #[must_use]
    pub fn accepts(self, actual: StreamVersion) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual == StreamVersion::EMPTY,
            Self::StreamExists => actual > StreamVersion::EMPTY,
            Self::Exact(expected) => actual == expected,
        }
    }
}

/// The dynamic consistency boundary of an append: it fails if an event that the query selects
/// was recorded after the position. Events of the append itself don't count, nor do those of erased streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendCondition {
    /// The events that must not be there.
    pub fail_if: Query,
    /// How far the decision that is being recorded has read; `START` if the query must select nothing at all.
    /// Beyond the head is no violation: nothing was recorded there.
    pub after: Position,
}

/// Names an append so that repeating it is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's name for it, unique in the store.
    pub key: IdempotencyKey,
    /// A digest of the request: the same key with another digest is refused.
    pub digest: Uuid,
}

impl Idempotency {
    /// Names the content by a digest of these bytes: the first 16 bytes of their SHA-256, as a UUID of version 8.
    #[must_use]
    pub fn new(key: IdempotencyKey, content: &[u8]) -> Self {
        Self { key, digest: digest(content) }
    }
}

/// An append that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The position of the append's last event; `START` if it has no events.
    pub position: Position,
    /// The version of each stream afterwards and how many events it got, in the order of the append.
    pub streams: Vec<StreamAppended>,
    /// Whether this is the outcome of an earlier append with the same idempotency key.
    pub repeated: bool,
}

/// An append that went through under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAppend {
    /// The digest of the request.
    pub digest: Uuid,
    /// Its outcome, as it was first returned.
    pub appended: Appended,
}

impl NamedAppend {
    /// The outcome for a repetition of the same request.
    ///
    /// # Errors
    /// [`AppendError::KeyReused`] if something else is asked for under this key now.
    pub fn repeat(self, now: &Idempotency) -> Result<Appended, AppendError> {
        if self.digest == now.digest {
            Ok(Appended { repeated: true, ..self.appended })
        } else {
            Err(AppendError::KeyReused { key: now.key.clone() })
        }
    }
}

/// The outcome of an append for one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAppended {
    /// The stream.
    pub stream: StreamId,
    /// The version of the last appended event; the stream's version if no event was appended.
    pub version: StreamVersion,
    /// How many events were appended.
    pub count: u64,
}

impl Append {
    /// Events for one stream.
    #[must_use]
    pub fn to(stream: StreamId, expected: ExpectedVersion, events: Vec<EventData>) -> Self {
        Self { streams: vec![StreamAppend { stream, expected, events }], ..Self::default() }
    }

    /// Also asks for this condition.
    #[must_use]
    pub fn condition(mut self, condition: AppendCondition) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Also names the append; the digest covers streams, types, payloads and tags, but neither ids nor metadata,
    /// which differ when the same thing is asked for again.
    #[must_use]
    pub fn idempotency_key(mut self, key: IdempotencyKey) -> Self {
        let mut content = Vec::new();
        let mut part = |bytes: &[u8]| {
            content.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            content.extend_from_slice(bytes);
        };
        for append in &self.streams {
            part(append.stream.as_str().as_bytes());
            part(&(append.events.len() as u64).to_le_bytes());
            for event in &append.events {
                part(event.event_type.as_str().as_bytes());
                part(&event.schema_version.to_le_bytes());
                part(&event.payload);
                part(&(event.tags.len() as u64).to_le_bytes());
                event.tags.iter().for_each(|tag| part(tag.as_str().as_bytes()));
            }
        }
        self.idempotency = Some(Idempotency::new(key, &content));
        self
    }

    /// How many events there are.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.streams.iter().map(|append| append.events.len()).sum()
    }

    /// Checks the append as far as that needs no store. Every store calls this first, so that all stores refuse alike.
    ///
    /// # Errors
    /// [`InvalidAppend`] names the first defect.
    pub fn validate(&self) -> Result<(), InvalidAppend> {
        let keyed = self.idempotency.is_some() || !self.slices.is_empty();
        if self.streams.is_empty() && !keyed {
            return Err(InvalidAppend::Empty("the request".into()));
        }
        let count = self.event_count();
        if count > MAX_EVENTS {
            return Err(InvalidAppend::TooManyEvents { count, limit: MAX_EVENTS });
        }
        for append in &self.streams {
            if append.events.is_empty() && !keyed {
                return Err(InvalidAppend::Empty(format!("stream {}", append.stream)));
            }
            append.events.iter().try_for_each(EventData::validate)?;
        }
        if let Some(stream) = twice(self.streams.iter().map(|append| &append.stream)) {
            return Err(InvalidAppend::StreamTwice(stream.clone()));
        }
        self.validate_slices()?;
        let ids = self.streams.iter().flat_map(|append| &append.events).map(|event| event.id);
        twice(ids).map_or(Ok(()), |id| Err(InvalidAppend::EventTwice(id)))
    }

    fn validate_slices(&self) -> Result<(), InvalidAppend> {
        for KeyedSlice { idempotency, stream, events } in &self.slices {
            let held = self.streams.get(*stream).map_or(0, |append| append.events.len());
            if *stream >= self.streams.len() || events.start > events.end || events.end > held {
                return Err(InvalidAppend::SliceOutside(idempotency.key.clone()));
            }
        }
        twice(self.keys()).map_or(Ok(()), |key| Err(InvalidAppend::KeyTwice(key.clone())))
    }

    /// All its idempotency keys.
    pub fn keys(&self) -> impl Iterator<Item = &IdempotencyKey> {
        let slices = self.slices.iter().map(|slice| &slice.idempotency);
        self.idempotency.iter().chain(slices).map(|idempotency| &idempotency.key)
    }
}

impl EventData {
    /// Checks one event as far as that needs no store. [`Append::validate`] checks all of its events.
    ///
    /// # Errors
    /// [`InvalidAppend::PayloadTooLarge`] or [`InvalidAppend::SchemaVersionZero`].
    pub fn validate(&self) -> Result<(), InvalidAppend> {
        if self.payload.len() > MAX_PAYLOAD {
            return Err(InvalidAppend::PayloadTooLarge {
                event_type: self.event_type.to_string(),
                size: self.payload.len(),
                limit: MAX_PAYLOAD,
            });
        }
        if self.schema_version == 0 {
            return Err(InvalidAppend::SchemaVersionZero(self.event_type.to_string()));
        }
        Ok(())
    }
}

/// The least value that is there twice.
fn twice<T: Ord + Copy>(mut values: impl Iterator<Item = T>) -> Option<T> {
    // Most appends have one event.
    let (first, second) = (values.next()?, values.next()?);
    let mut values: Vec<T> = [first, second].into_iter().chain(values).collect();
    values.sort_unstable();
    values.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

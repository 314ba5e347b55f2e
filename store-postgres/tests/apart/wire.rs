//! What the processes tell each other: JSON, and behind it the bytes of payloads and values.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use recount_core::{
    Append, AppendCondition, AppendError, Appended, Conflict, EventData, EventId, EventType, ExpectedRevision,
    ExpectedVersion, Idempotency, IdempotencyKey, KeyedSlice, Metadata, Position, Query, QueryItem, RecordedEvent,
    Revision, StoreError, StreamAppend, StreamAppended, StreamId, StreamVersion, Tag, Timestamp, Violation,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use uuid::Uuid;

/// Bytes beside the JSON, which refers to them by number.
#[derive(Default)]
pub struct Blobs(pub Vec<Bytes>);

impl Blobs {
    fn add(&mut self, blob: &Bytes) -> usize {
        self.0.push(blob.clone());
        self.0.len() - 1
    }
}

pub async fn write(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize, blobs: &Blobs) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let mut frame = Vec::new();
    frame.extend_from_slice(&(blobs.0.len() as u32).to_le_bytes());
    for part in std::iter::once(&json[..]).chain(blobs.0.iter().map(|blob| &blob[..])) {
        frame.extend_from_slice(&(part.len() as u32).to_le_bytes());
        frame.extend_from_slice(part);
    }
    to.write_all(&frame).await
}

pub async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(T, Blobs)> {
    let count = from.read_u32_le().await?;
    let mut parts = Vec::new();
    for _ in 0..=count {
        let mut part = vec![0; from.read_u32_le().await? as usize];
        from.read_exact(&mut part).await?;
        parts.push(part);
    }
    let json = parts.remove(0);
    Ok((serde_json::from_slice(&json)?, Blobs(parts.into_iter().map(Into::into).collect())))
}

#[derive(Serialize, Deserialize)]
pub enum Ask {
    Open,
    Append(Request),
    Archive(Stream),
    Erase(Stream),
    Put { key: String, expected: Entry, time_to_live: Option<Duration> },
    Delete { key: String, expected: Entry },
    Close,
}

#[derive(Serialize, Deserialize)]
pub enum Answer {
    Opened(usize),
    Appended(Outcome),
    Refused(Refusal),
    Put(u64),
    Mismatch(Option<u64>),
    /// The size of a value that is too large.
    TooLarge(usize),
    Done,
    Failed(Failure),
}

#[derive(Serialize, Deserialize)]
pub struct Request {
    streams: Vec<(Stream, Version, Vec<Data>)>,
    condition: Option<(Position, Vec<Item>)>,
    idempotency: Option<Named>,
    slices: Vec<(Named, usize, std::ops::Range<usize>)>,
}

#[derive(Serialize, Deserialize)]
struct Named(String, Uuid);

impl Named {
    fn of(named: &Idempotency) -> Self {
        Self(named.key.to_string(), named.digest)
    }

    fn into_idempotency(self) -> Idempotency {
        Idempotency { key: IdempotencyKey::from_stored(self.0).unwrap(), digest: self.1 }
    }
}

#[derive(Serialize, Deserialize, Debug)]
pub struct Stream(String, String);

#[derive(Serialize, Deserialize)]
pub enum Version {
    Any,
    NoStream,
    StreamExists,
    Exact(StreamVersion),
}

#[derive(Serialize, Deserialize)]
pub enum Entry {
    Any,
    Absent,
    Exact(u64),
}

#[derive(Serialize, Deserialize)]
pub struct Item(Vec<String>, Vec<String>, Option<String>);

#[derive(Serialize, Deserialize)]
pub struct Data {
    id: EventId,
    event_type: String,
    schema_version: u32,
    payload: usize,
    tags: Vec<String>,
    metadata: Metadata,
}

#[derive(Serialize, Deserialize)]
pub struct Outcome {
    position: Position,
    streams: Vec<(Stream, StreamVersion, u64)>,
    repeated: bool,
}

#[derive(Serialize, Deserialize)]
pub enum Refusal {
    Conflict(Vec<Violated>),
    KeyReused(String),
    KeysKnown(Vec<String>),
    DuplicateEvent(EventId),
    Failed(Failure),
}

#[derive(Serialize, Deserialize)]
pub enum Violated {
    Version { stream: Stream, expected: Version, actual: StreamVersion, newer: Vec<Recorded> },
    Condition(Position),
    Archived(Stream),
    Erased(Stream),
}

#[derive(Serialize, Deserialize)]
pub struct Recorded(Position, Stream, StreamVersion, Timestamp, Data);

#[derive(Serialize, Deserialize, Debug)]
pub enum Failure {
    StreamNotFound(Stream),
    StreamErased(Stream),
    Unavailable(String),
    OutcomeUnknown(String),
    StorageFull(String),
    Damaged(String),
    Exhausted(String),
    Closed,
    Other(String),
}

const OPERATION: &str = "asking the other process";

impl Ask {
    pub fn append(append: &Append, blobs: &mut Blobs) -> Self {
        let streams = append.streams.iter().map(|part| {
            let events = part.events.iter().map(|event| Data::of(event, blobs)).collect();
            ((&part.stream).into(), part.expected.into(), events)
        });
        let item = |item: &QueryItem| {
            Item(
                item.event_types.iter().map(ToString::to_string).collect(),
                item.tags.iter().map(ToString::to_string).collect(),
                item.category.as_deref().map(Into::into),
            )
        };
        Self::Append(Request {
            streams: streams.collect(),
            condition: append.condition.as_ref().map(|c| (c.after, c.fail_if.items.iter().map(item).collect())),
            idempotency: append.idempotency.as_ref().map(Named::of),
            slices: append
                .slices
                .iter()
                .map(|slice| (Named::of(&slice.idempotency), slice.stream, slice.events.clone()))
                .collect(),
        })
    }

    pub fn into_append(self, blobs: &Blobs) -> Append {
        let Self::Append(Request { streams, condition, idempotency, slices }) = self else { panic!("no append") };
        let streams = streams.into_iter().map(|(stream, expected, events)| StreamAppend {
            stream: stream.into(),
            expected: expected.into(),
            events: events.into_iter().map(|event| event.into_data(blobs)).collect(),
        });
        let item = |Item(event_types, tags, category)| QueryItem {
            event_types: event_types.into_iter().map(|name: String| EventType::new(name).unwrap()).collect(),
            tags: tags.into_iter().map(|name: String| Tag::new(name).unwrap()).collect(),
            category: category.map(String::into_boxed_str),
        };
        Append {
            streams: streams.collect(),
            condition: condition.map(|(after, items)| AppendCondition {
                fail_if: Query { items: items.into_iter().map(item).collect() },
                after,
            }),
            idempotency: idempotency.map(Named::into_idempotency),
            slices: slices
                .into_iter()
                .map(|(named, stream, events)| KeyedSlice { idempotency: named.into_idempotency(), stream, events })
                .collect(),
        }
    }
}

impl From<&StreamId> for Stream {
    fn from(stream: &StreamId) -> Self {
        Self(stream.category().to_owned(), stream.id().to_owned())
    }
}

impl From<Stream> for StreamId {
    fn from(Stream(category, id): Stream) -> Self {
        Self::new(category, id).unwrap()
    }
}

impl From<ExpectedVersion> for Version {
    fn from(expected: ExpectedVersion) -> Self {
        match expected {
            ExpectedVersion::Any => Self::Any,
            ExpectedVersion::NoStream => Self::NoStream,
            ExpectedVersion::StreamExists => Self::StreamExists,
            ExpectedVersion::Exact(version) => Self::Exact(version),
        }
    }
}

impl From<Version> for ExpectedVersion {
    fn from(expected: Version) -> Self {
        match expected {
            Version::Any => Self::Any,
            Version::NoStream => Self::NoStream,
            Version::StreamExists => Self::StreamExists,
            Version::Exact(version) => Self::Exact(version),
        }
    }
}

impl From<ExpectedRevision> for Entry {
    fn from(expected: ExpectedRevision) -> Self {
        match expected {
            ExpectedRevision::Any => Self::Any,
            ExpectedRevision::Absent => Self::Absent,
            ExpectedRevision::Exact(revision) => Self::Exact(revision.0),
        }
    }
}

impl From<Entry> for ExpectedRevision {
    fn from(expected: Entry) -> Self {
        match expected {
            Entry::Any => Self::Any,
            Entry::Absent => Self::Absent,
            Entry::Exact(revision) => Self::Exact(Revision(revision)),
        }
    }
}

impl Data {
    fn of(event: &EventData, blobs: &mut Blobs) -> Self {
        Self {
            id: event.id,
            event_type: event.event_type.to_string(),
            schema_version: event.schema_version,
            payload: blobs.add(&event.payload),
            tags: event.tags.iter().map(ToString::to_string).collect(),
            metadata: event.metadata.clone(),
        }
    }

    fn into_data(self, blobs: &Blobs) -> EventData {
        EventData {
            id: self.id,
            event_type: EventType::new(self.event_type).unwrap(),
            schema_version: self.schema_version,
            payload: blobs.0[self.payload].clone(),
            tags: self.tags.into_iter().map(|name| Tag::new(name).unwrap()).collect(),
            metadata: self.metadata,
        }
    }
}

impl From<Appended> for Outcome {
    fn from(appended: Appended) -> Self {
        let streams = appended.streams.iter().map(|one| ((&one.stream).into(), one.version, one.count)).collect();
        Self { position: appended.position, streams, repeated: appended.repeated }
    }
}

impl From<Outcome> for Appended {
    fn from(outcome: Outcome) -> Self {
        let of = |(stream, version, count): (Stream, _, _)| StreamAppended { stream: stream.into(), version, count };
        Self {
            position: outcome.position,
            streams: outcome.streams.into_iter().map(of).collect(),
            repeated: outcome.repeated,
        }
    }
}

impl Refusal {
    pub fn of(error: &AppendError, blobs: &mut Blobs) -> Self {
        match error {
            AppendError::Conflict(conflict) => {
                Self::Conflict(conflict.violations.iter().map(|violation| Violated::of(violation, blobs)).collect())
            }
            AppendError::KeyReused { key } => Self::KeyReused(key.to_string()),
            AppendError::KeysKnown { keys } => Self::KeysKnown(keys.iter().map(ToString::to_string).collect()),
            AppendError::DuplicateEvent { id } => Self::DuplicateEvent(*id),
            AppendError::Store(error) => Self::Failed(Failure::of(error)),
            other => panic!("{other:?}"),
        }
    }

    pub fn into_error(self, blobs: &Blobs) -> AppendError {
        match self {
            Self::Conflict(violations) => {
                let violations = violations.into_iter().map(|violated| violated.into_violation(blobs)).collect();
                Conflict { violations }.into()
            }
            Self::KeyReused(key) => AppendError::KeyReused { key: IdempotencyKey::from_stored(key).unwrap() },
            Self::KeysKnown(keys) => AppendError::KeysKnown {
                keys: keys.into_iter().map(|key| IdempotencyKey::from_stored(key).unwrap()).collect(),
            },
            Self::DuplicateEvent(id) => AppendError::DuplicateEvent { id },
            Self::Failed(failure) => StoreError::from(failure).into(),
        }
    }
}

impl Violated {
    fn of(violation: &Violation, blobs: &mut Blobs) -> Self {
        match violation {
            Violation::Version { stream, expected, actual, newer } => Self::Version {
                stream: stream.into(),
                expected: (*expected).into(),
                actual: *actual,
                newer: newer.iter().map(|event| Recorded::of(event, blobs)).collect(),
            },
            Violation::Condition { position } => Self::Condition(*position),
            Violation::Archived { stream } => Self::Archived(stream.into()),
            Violation::Erased { stream } => Self::Erased(stream.into()),
            other => panic!("{other:?}"),
        }
    }

    fn into_violation(self, blobs: &Blobs) -> Violation {
        match self {
            Self::Version { stream, expected, actual, newer } => Violation::Version {
                stream: stream.into(),
                expected: expected.into(),
                actual,
                newer: newer.into_iter().map(|recorded| recorded.into_event(blobs)).collect(),
            },
            Self::Condition(position) => Violation::Condition { position },
            Self::Archived(stream) => Violation::Archived { stream: stream.into() },
            Self::Erased(stream) => Violation::Erased { stream: stream.into() },
        }
    }
}

impl Recorded {
    fn of(event: &RecordedEvent, blobs: &mut Blobs) -> Self {
        let data = Data::of(&event.data, blobs);
        Self(event.position, (&event.stream).into(), event.version, event.recorded_at, data)
    }

    fn into_event(self, blobs: &Blobs) -> RecordedEvent {
        let Self(position, stream, version, recorded_at, data) = self;
        RecordedEvent { position, stream: stream.into(), version, recorded_at, data: data.into_data(blobs) }
    }
}

impl Failure {
    pub fn of(error: &StoreError) -> Self {
        match error {
            StoreError::StreamNotFound { stream } => Self::StreamNotFound(stream.into()),
            StoreError::StreamErased { stream } => Self::StreamErased(stream.into()),
            StoreError::Unavailable { source, .. } => Self::Unavailable(source.to_string()),
            StoreError::OutcomeUnknown { source, .. } => Self::OutcomeUnknown(source.to_string()),
            StoreError::StorageFull { source, .. } => Self::StorageFull(source.to_string()),
            StoreError::Damaged { what } => Self::Damaged(what.clone()),
            StoreError::Exhausted { what } => Self::Exhausted(what.clone()),
            StoreError::Closed => Self::Closed,
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let operation = OPERATION;
        match failure {
            Failure::StreamNotFound(stream) => Self::StreamNotFound { stream: stream.into() },
            Failure::StreamErased(stream) => Self::StreamErased { stream: stream.into() },
            Failure::Unavailable(text) => Self::Unavailable { operation, source: text.into() },
            Failure::OutcomeUnknown(text) => Self::OutcomeUnknown { operation, source: text.into() },
            Failure::StorageFull(text) => Self::StorageFull { operation, source: text.into() },
            Failure::Damaged(what) => Self::Damaged { what },
            Failure::Exhausted(what) => Self::Exhausted { what },
            Failure::Closed => Self::Closed,
            Failure::Other(text) => Self::Backend { operation, source: text.into() },
        }
    }
}

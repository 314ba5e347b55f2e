//! Events as rows, there and back.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use recount_core::{
    EventData, EventId, Metadata, Position, RecordedEvent, StoreError, StreamId, StreamVersion, Tag, Timestamp,
};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row};
use uuid::Uuid;

use crate::error::{During, damaged};
use crate::kinds::{Kind, KindsOfRows};
use crate::statement::Statement;

/// The columns that [`decode`] reads, of `events AS e`; the payload comes behind them.
pub(crate) const COLUMNS: &str = "e.position, e.version, e.kind, e.recorded_at, e.event_id, e.tags, e.metadata, \
     e.stream";
const OPERATION: &str = "reading events";
/// From 1970, where timestamps begin, to 2000, where Postgres begins, in microseconds.
pub(crate) const EPOCH: i64 = 946_684_800_000_000;

/// A JSON array, or nothing for no tags.
pub(crate) fn encode_tags(tags: &[Tag]) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    let tags: Vec<_> = tags.iter().map(Tag::as_str).collect();
    // Text always has a JSON form.
    serde_json::to_string(&tags).ok()
}

/// A JSON object, or nothing for no metadata.
pub(crate) fn encode_metadata(metadata: &Metadata) -> Option<String> {
    // Text always has a JSON form.
    if *metadata == Metadata::default() { None } else { serde_json::to_string(metadata).ok() }
}

/// The parts of events without their positions and versions, as the columns that functions of the database take.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    kind: Vec<i32>,
    id: Vec<Uuid>,
    tags: Vec<Option<String>>,
    metadata: Vec<Option<String>>,
    payload: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    pub(crate) fn len(&self) -> usize {
        self.kind.len()
    }

    pub(crate) fn add(&mut self, event: &'a EventData, kind: i32) {
        self.kind.push(kind);
        self.id.push(event.id.0);
        self.tags.push(encode_tags(&event.tags));
        self.metadata.push(encode_metadata(&event.metadata));
        self.payload.push(&event.payload);
    }

    /// Adds the arguments, in this order.
    pub(crate) fn bind(self, statement: Statement) -> Statement {
        let statement = statement.bind(self.kind).bind(self.id);
        statement.bind(unless_empty(self.tags)).bind(unless_empty(self.metadata)).bind(self.payload)
    }
}

/// A column that is most often all `NULL`. Then `None` is bound for it, which costs the database less and means the
/// same values.
fn unless_empty(column: Vec<Option<String>>) -> Option<Vec<Option<String>>> {
    column.iter().any(Option::is_some).then_some(column)
}

/// Reads rows of [`COLUMNS`] and a payload.
pub(crate) struct Decoder {
    kinds: KindsOfRows,
    /// The stream of the row before, as it is written and read: most often it is this one's, too.
    stream: Option<(String, StreamId)>,
}

impl Decoder {
    pub(crate) fn new(kinds: KindsOfRows) -> Self {
        Self { kinds, stream: None }
    }

    /// The kind of a row's event, if it is known.
    pub(crate) fn kind(&mut self, row: &PgRow) -> Result<Option<Arc<Kind>>, StoreError> {
        Ok(self.kinds.find(get(row, 2)?).cloned())
    }

    /// The event of a row; nothing without a payload.
    #[inline]
    pub(crate) fn event(
        &mut self,
        row: &PgRow,
        position: i64,
        kind: &Kind,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        let Some(payload) = get::<Option<&[u8]>>(row, 8)? else { return Ok(None) };
        let broken = |what: &dyn std::fmt::Display| damaged(format!("the event at position {position}: {what}"));
        let tags = match get::<Option<&str>>(row, 5)? {
            None => Vec::new(),
            Some(json) => {
                let tags: Vec<Cow<'_, str>> = serde_json::from_str(json).map_err(|error| broken(&error))?;
                tags.into_iter().map(Tag::new).collect::<Result<_, _>>().map_err(|error| broken(&error))?
            }
        };
        let metadata = match get::<Option<&str>>(row, 6)? {
            None => Metadata::default(),
            Some(json) => serde_json::from_str(json).map_err(|error| broken(&error))?,
        };
        let name: &str = get(row, 7)?;
        let stream = match &self.stream {
            Some((known, stream)) if known == name => stream.clone(),
            _ => {
                let stream: StreamId = name.parse().map_err(|error| broken(&error))?;
                self.stream.insert((name.to_owned(), stream)).1.clone()
            }
        };
        Ok(Some(RecordedEvent {
            position: Position::new(position.cast_unsigned()),
            stream,
            version: StreamVersion::new(get::<i64>(row, 1)?.cast_unsigned()),
            recorded_at: recorded_at(row).ok_or_else(|| broken(&"its time can't be read"))?,
            data: EventData {
                id: EventId(get(row, 4)?),
                event_type: kind.event_type.clone(),
                schema_version: kind.schema_version,
                payload: Bytes::copy_from_slice(payload),
                tags,
                metadata,
            },
        }))
    }
}

/// A column of [`COLUMNS`], which are of the types that the migrations gave them: looking that up for each takes as long as reading it.
pub(crate) fn get<'r, T: Decode<'r, Postgres>>(row: &'r PgRow, column: usize) -> Result<T, StoreError> {
    row.try_get_unchecked(column).during(OPERATION)
}

/// Microseconds since 2000, as Postgres sends them.
fn recorded_at(row: &PgRow) -> Option<Timestamp> {
    let raw = row.try_get_raw(3).ok()?.as_bytes().ok()?;
    let microseconds = i64::from_be_bytes(raw.try_into().ok()?);
    Timestamp::from_microsecond(microseconds.checked_add(EPOCH)?).ok()
}

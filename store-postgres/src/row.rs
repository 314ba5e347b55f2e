//! Events as rows, there and back.

use std::borrow::Cow;

use bytes::Bytes;
use recount_core::{
    EventData, EventId, Metadata, Position, RecordedEvent, StoreError, StreamId, StreamVersion, Tag, Timestamp,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::error::{During, damaged};
use crate::kinds::Kinds;

/// The columns that [`decode`] reads, of `events AS e`; the payload comes behind them.
pub(crate) const COLUMNS: &str = "e.position, e.version, e.kind, e.recorded_at, e.event_id, e.tags, e.metadata, \
     e.stream, e.schema_version";
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

/// The number of the kind of a row of [`COLUMNS`].
pub(crate) fn kind(row: &PgRow) -> Result<i32, StoreError> {
    row.try_get(2).during(OPERATION)
}

/// Reads a row of [`COLUMNS`] and a payload; nothing without that.
pub(crate) fn decode(row: &PgRow, kinds: &Kinds) -> Result<Option<RecordedEvent>, StoreError> {
    let Some(payload) = row.try_get::<Option<&[u8]>, _>(9).during(OPERATION)? else { return Ok(None) };
    let position: i64 = row.try_get(0).during(OPERATION)?;
    let broken = |what: &dyn std::fmt::Display| damaged(format!("the event at position {position}: {what}"));
    let number = kind(row)?;
    let kind = kinds.get(number).ok_or_else(|| broken(&format_args!("kind {number} is unknown")))?;
    let version: i64 = row.try_get(1).during(OPERATION)?;
    let tags = match row.try_get::<Option<&str>, _>(5).during(OPERATION)? {
        None => Vec::new(),
        Some(json) => {
            let tags: Vec<Cow<'_, str>> = serde_json::from_str(json).map_err(|error| broken(&error))?;
            tags.into_iter().map(Tag::new).collect::<Result<_, _>>().map_err(|error| broken(&error))?
        }
    };
    let metadata = match row.try_get::<Option<&str>, _>(6).during(OPERATION)? {
        None => Metadata::default(),
        Some(json) => serde_json::from_str(json).map_err(|error| broken(&error))?,
    };
    let stream: &str = row.try_get(7).during(OPERATION)?;
    let schema_version: i64 = row.try_get(8).during(OPERATION)?;
    Ok(Some(RecordedEvent {
        position: Position::new(position.cast_unsigned()),
        stream: stream.parse::<StreamId>().map_err(|error| broken(&error))?,
        version: StreamVersion::new(version.cast_unsigned()),
        recorded_at: recorded_at(row).ok_or_else(|| broken(&"its time can't be read"))?,
        data: EventData {
            id: EventId(row.try_get(4).during(OPERATION)?),
            event_type: kind.event_type.clone(),
            schema_version: u32::try_from(schema_version).map_err(|error| broken(&error))?,
            payload: Bytes::copy_from_slice(payload),
            tags,
            metadata,
        },
    }))
}

/// Microseconds since 2000, as Postgres sends them.
fn recorded_at(row: &PgRow) -> Option<Timestamp> {
    let raw = row.try_get_raw(3).ok()?.as_bytes().ok()?;
    let microseconds = i64::from_be_bytes(raw.try_into().ok()?);
    Timestamp::from_microsecond(microseconds.checked_add(EPOCH)?).ok()
}

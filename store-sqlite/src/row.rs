//! Events as rows, there and back.

use std::borrow::Cow;

use bytes::Bytes;
use recount_core::{
    EventData, EventId, Metadata, Position, RecordedEvent, StoreError, StreamId, StreamVersion, Tag, Timestamp,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::{During, damaged};
use crate::kinds::Kinds;

/// The columns that [`decode`] reads, of `events AS e` and `streams AS s`.
pub(crate) const COLUMNS: &str =
    "e.position, e.version, e.kind, e.recorded_at, e.event_id, e.tags, e.metadata, e.payload, s.name";

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

/// Reads a row of [`COLUMNS`].
pub(crate) fn decode(row: &SqliteRow, kinds: &Kinds) -> Result<RecordedEvent, StoreError> {
    const OPERATION: &str = "reading events";
    let position: i64 = row.try_get(0).during(OPERATION)?;
    let broken = |what: &dyn std::fmt::Display| damaged(format!("the event at position {position}: {what}"));
    let kind: i64 = row.try_get(2).during(OPERATION)?;
    let kind = kinds.get(kind).ok_or_else(|| broken(&format_args!("kind {kind} is unknown")))?;
    let version: i64 = row.try_get(1).during(OPERATION)?;
    let recorded_at: i64 = row.try_get(3).during(OPERATION)?;
    let id: &[u8] = row.try_get(4).during(OPERATION)?;
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
    let payload: &[u8] = row.try_get(7).during(OPERATION)?;
    let name: &str = row.try_get(8).during(OPERATION)?;
    Ok(RecordedEvent {
        position: Position::new(position.cast_unsigned()),
        stream: StreamId::new(&kind.category, name).map_err(|error| broken(&error))?,
        version: StreamVersion::new(version.cast_unsigned()),
        recorded_at: Timestamp::from_microsecond(recorded_at).map_err(|error| broken(&error))?,
        data: EventData {
            id: EventId(Uuid::from_slice(id).map_err(|error| broken(&error))?),
            event_type: kind.event_type.clone(),
            schema_version: kind.schema_version,
            payload: Bytes::copy_from_slice(payload),
            tags,
            metadata,
        },
    })
}

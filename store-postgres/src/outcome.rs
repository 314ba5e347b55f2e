//! The outcome of a named append, as it is stored.

use std::borrow::Cow;

use recount_core::{Appended, NamedAppend, Position, StoreError, StreamAppended, StreamId, StreamVersion};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::damaged;

#[derive(Serialize, Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    version: u64,
    count: u64,
}

/// The outcome of an append to one stream, without its position; `None` if it has no JSON form.
pub(crate) fn encode(part: &StreamAppended) -> Option<String> {
    let StreamAppended { stream, version, count } = part;
    serde_json::to_string(&[Part { stream: stream.as_str().into(), version: version.get(), count: *count }]).ok()
}

pub(crate) fn decode(digest: Uuid, position: i64, streams: &str) -> Result<NamedAppend, StoreError> {
    let parts: Vec<Part<'_>> =
        serde_json::from_str(streams).map_err(|error| damaged(format!("the outcome of an append: {error}")))?;
    let part = |part: Part<'_>| {
        let stream: StreamId = part.stream.parse().map_err(|error| damaged(format!("a stream's name: {error}")))?;
        Ok(StreamAppended { stream, version: StreamVersion::new(part.version), count: part.count })
    };
    let streams = parts.into_iter().map(part).collect::<Result<_, StoreError>>()?;
    let position = Position::new(position.cast_unsigned());
    Ok(NamedAppend { digest, appended: Appended { position, streams, repeated: false } })
}

//! The outcome of a named append, as it is stored.

use recount_core::{Appended, NamedAppend, Position, StoreError, StreamAppended, StreamId, StreamVersion};
use serde::Deserialize;
use uuid::Uuid;

use crate::error::damaged;

#[derive(Deserialize)]
struct Part {
    stream: String,
    version: u64,
    count: u64,
}

pub(crate) fn decode(digest: Uuid, position: i64, streams: &str) -> Result<NamedAppend, StoreError> {
    let parts: Vec<Part> =
        serde_json::from_str(streams).map_err(|error| damaged(format!("the outcome of an append: {error}")))?;
    let part = |part: Part| {
        let stream: StreamId = part.stream.parse().map_err(|error| damaged(format!("a stream's name: {error}")))?;
        Ok(StreamAppended { stream, version: StreamVersion::new(part.version), count: part.count })
    };
    let streams = parts.into_iter().map(part).collect::<Result<_, StoreError>>()?;
    let position = Position::new(position.cast_unsigned());
    Ok(NamedAppend { digest, appended: Appended { position, streams, repeated: false } })
}

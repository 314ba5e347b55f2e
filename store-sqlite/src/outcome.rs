//! The outcome of a named append, as it is stored.

use recount_core::{Appended, NamedAppend, Position, StoreError, StreamAppended, StreamId, StreamVersion};
use serde::{Deserialize, Serialize};

use uuid::Uuid;

use crate::error::damaged;

#[derive(Serialize, Deserialize)]
struct Outcome {
    position: Position,
    streams: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
struct Part {
    category: String,
    id: String,
    version: StreamVersion,
    count: u64,
}

pub(crate) fn encode(appended: &Appended) -> Result<String, StoreError> {
    let part = |part: &StreamAppended| Part {
        category: part.stream.category().to_owned(),
        id: part.stream.id().to_owned(),
        version: part.version,
        count: part.count,
    };
    let outcome = Outcome { position: appended.position, streams: appended.streams.iter().map(part).collect() };
    serde_json::to_string(&outcome)
        .map_err(|error| StoreError::Backend { operation: "encoding an outcome", source: error.into() })
}

pub(crate) fn decode(digest: &[u8], outcome: &str) -> Result<NamedAppend, StoreError> {
    let digest = Uuid::from_slice(digest).map_err(|error| damaged(format!("the digest of an append: {error}")))?;
    let outcome: Outcome =
        serde_json::from_str(outcome).map_err(|error| damaged(format!("the outcome of an append: {error}")))?;
    let part = |part: Part| {
        let stream = StreamId::new(part.category, part.id).map_err(|error| damaged(error.to_string()))?;
        Ok(StreamAppended { stream, version: part.version, count: part.count })
    };
    let streams = outcome.streams.into_iter().map(part).collect::<Result<_, StoreError>>()?;
    Ok(NamedAppend { digest, appended: Appended { position: outcome.position, streams, repeated: false } })
}

//! The topics at the server.

use std::num::NonZeroU16;

use recount_messaging::{BrokerError, Topic, TopicPattern};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::ensure::LANES;
use crate::names;

const OPERATION: &str = "listing topics";
/// The most streams that are listed. The server gives 256 at a time.
const MAX_STREAMS: usize = 1 << 20;

/// The topics that match a pattern, sorted by name. Streams without a number of lanes are none of recount.
pub(crate) async fn topics(connection: &Connection, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
    let (mut topics, mut offset) = (Vec::new(), 0);
    while offset < MAX_STREAMS {
        let page = connection.api(OPERATION, "STREAM.LIST", &json!({ "offset": offset })).await;
        let page = page.map_err(|error| error.about(OPERATION, || "the list of streams".to_owned()))?;
        let streams = page["streams"].as_array().map_or(&[][..], Vec::as_slice);
        topics.extend(streams.iter().filter_map(topic).filter(|topic| pattern.matches(topic)));
        offset += streams.len();
        if streams.is_empty() || page["total"].as_u64().is_none_or(|total| offset as u64 >= total) {
            break;
        }
    }
    topics.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(topics)
}

/// The topic of a stream.
fn topic(stream: &Value) -> Option<Topic> {
    let config = &stream["config"];
    let lanes: NonZeroU16 = config["metadata"][LANES].as_str()?.parse().ok()?;
    Some(Topic::new(names::topic_of(config["name"].as_str()?)?).ok()?.with_lanes(lanes))
}

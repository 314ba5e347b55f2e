//! The topics of the namespace.

use std::num::NonZeroU16;

use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::{Method, StatusCode};
use recount_messaging::{BrokerError, Topic, TopicPattern};

use crate::admin::request;
use crate::ensure::partition_count;
use crate::{PulsarOptions, names};

const OPERATION: &str = "listing topics";
/// How many requests are under way at once.
const PARALLEL: usize = 8;

/// The partitioned topics that match a pattern, sorted by name.
pub(crate) async fn topics(options: &PulsarOptions, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
    let path = format!("{}/partitioned", names::namespace_path(options));
    let answer = request(options, OPERATION, Method::GET, &path, None).await?;
    if !answer.status.is_success() {
        return Err(answer.error(OPERATION));
    }
    let failed = |error: serde_json::Error| BrokerError::Failed { operation: OPERATION, source: error.into() };
    let listed: Vec<String> = serde_json::from_slice(&answer.body).map_err(failed)?;
    // As `persistent://TENANT/NAMESPACE/TOPIC`. Other programs may use names that recount has not.
    let named = listed.iter().filter_map(|name| Topic::new(name.rsplit('/').next()?).ok());
    let matching: Vec<Topic> = named.filter(|topic| pattern.matches(topic)).collect();
    let found = stream::iter(matching).map(|topic| with_lanes(options, topic)).buffered(PARALLEL);
    let mut topics: Vec<Topic> = found.try_filter_map(async |topic| Ok(topic)).try_collect().await?;
    topics.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(topics)
}

/// The topic with its number of lanes, unless it was deleted meanwhile.
async fn with_lanes(options: &PulsarOptions, topic: Topic) -> Result<Option<Topic>, BrokerError> {
    let path = format!("{}/partitions", names::path(options, &topic));
    let answer = request(options, OPERATION, Method::GET, &path, None).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let lanes = NonZeroU16::new(u16::try_from(partition_count(OPERATION, &answer)?).unwrap_or_default());
    Ok(lanes.map(|lanes| topic.with_lanes(lanes)))
}

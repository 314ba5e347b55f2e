//! Publishing: the messages of one key in requests of their own, one after the other; many keys at once.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use google_cloud_pubsub::error::PublishError;
use google_cloud_pubsub::model::Message as Native;
use recount_messaging::envelope::{HeaderForm, NATIVE_TYPE, to_headers};
use recount_messaging::{BrokerError, Fate, Outgoing, Refusal, Topic};
use tokio::time::{Duration, Instant, timeout_at};

use crate::capabilities::{MAX_ATTRIBUTES, MAX_BATCH, MAX_MESSAGE, MAX_NAME, MAX_VALUE};
use crate::connection::Connection;
use crate::error::{fate, is_refusal};
use crate::names;

const OPERATION: &str = "publishing";
/// The client library ends its attempts after the call timeout. So long after it has not, the fate is unknown.
const GRACE: Duration = Duration::from_secs(2);

/// The result of a message. `None`: it did not come in time.
type Published = Option<Result<String, PublishError>>;

/// Publishes a batch. The fates are in the order of the messages.
pub(crate) async fn publish(connection: &Connection, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
    let mut fates: Vec<Fate> = batch.iter().map(|_| Fate::NotSent(None)).collect();
    let Ok(_publishing) = connection.publishing().await else {
        fates.fill_with(|| Fate::NotSent(Some(BrokerError::Closed)));
        return fates;
    };
    let (mut sent, mut natives, mut stopped) = (Vec::new(), Vec::new(), HashSet::new());
    for (index, outgoing) in batch.iter().enumerate() {
        if stopped.contains(outgoing.lane_key()) {
            continue;
        }
        match encode(outgoing) {
            Ok(native) => {
                sent.push(index);
                natives.push(native);
            }
            Err(refusal) => {
                stopped.insert(outgoing.lane_key());
                fates[index] = Fate::Refused(refusal);
            }
        }
    }
    let results = send(connection, topic, natives, MAX_BATCH).await;
    let mut results: Vec<(usize, Published)> = sent.into_iter().zip(results).collect();
    // A request is refused as a whole. Its messages are sent again one by one: then the fate is that of the bad one.
    let is_refused = |result: &Published| matches!(result, Some(Err(error)) if is_refusal(error));
    let refused: Vec<usize> =
        results.iter().filter(|(_, result)| is_refused(result)).map(|(index, _)| *index).collect();
    if refused.len() > 1 {
        let natives = refused.iter().filter_map(|index| encode(&batch[*index]).ok()).collect();
        let again = send(connection, topic, natives, 1).await;
        results.extend(refused.into_iter().zip(again));
    }
    for (index, result) in results {
        fates[index] = match result {
            Some(Ok(_)) => Fate::Stored(None),
            Some(Err(error)) => {
                let object = || format!("topic {}", names::topic(topic));
                fate(OPERATION, batch[index].message.id.as_str(), object, &error)
            }
            None => {
                Fate::Unknown(BrokerError::TimedOut { operation: OPERATION, limit: connection.options.call_timeout })
            }
        };
    }
    fates
}

/// Sends messages in requests of this size, at most, and waits for the result of each.
///
/// After a failed message the client library stops its ordering key until it is told to go on, and keeps a task for each
/// ordering key that it has seen. So a publisher serves one batch.
async fn send(connection: &Connection, topic: &Topic, messages: Vec<Native>, size: u32) -> Vec<Published> {
    if messages.is_empty() {
        return Vec::new();
    }
    let publisher = connection.publisher.publisher(names::topic_path(&connection.options.project, topic));
    let publisher = publisher.set_message_count_threshold(size).build();
    let until = Instant::now() + connection.options.call_timeout + GRACE;
    let results = messages.into_iter().map(|native| {
        let published = publisher.publish(native);
        async move { timeout_at(until, published).await.ok() }
    });
    let results: Vec<_> = results.collect();
    let (results, _) = tokio::join!(join_all(results), timeout_at(until, publisher.flush()));
    results
}

/// The message in native terms. Messages that the service would refuse are refused here.
fn encode(outgoing: &Outgoing) -> Result<Native, Refusal> {
    let message = &outgoing.message;
    let id = || message.id.to_string();
    let invalid = |reason: String| Refusal::Invalid { id: id(), reason };
    let headers = |reason: String| Refusal::Headers { id: id(), reason };
    if let Some(name) = message.metadata.headers.keys().find(|name| is_reserved(name)) {
        return Err(invalid(format!("the header name {name:?} is reserved for Google")));
    }
    let mut attributes: HashMap<String, String> = HashMap::new();
    let written = to_headers(message, HeaderForm::PUBSUB).map_err(invalid)?;
    attributes.extend(written.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())));
    attributes.insert(NATIVE_TYPE.to_owned(), message.content_type.to_string());
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(headers(format!("are {}, the limit is {MAX_ATTRIBUTES}", attributes.len())));
    }
    for (name, value) in &attributes {
        let (length, limit) = if name.len() > MAX_NAME { (name.len(), MAX_NAME) } else { (value.len(), MAX_VALUE) };
        if length > limit {
            let name: String = name.chars().take(64).collect();
            return Err(headers(format!("have {name:?} with {length} bytes, the limit is {limit}")));
        }
    }
    let key = message.key.as_deref().unwrap_or_default();
    let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    let size = bytes + key.len() + message.data.len();
    if size > MAX_MESSAGE {
        return Err(Refusal::TooLarge { id: id(), size, limit: MAX_MESSAGE });
    }
    Ok(Native::new().set_data(message.data.clone()).set_attributes(attributes).set_ordering_key(key))
}

/// Whether a header is not the application's.
fn is_reserved(name: &str) -> bool {
    name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("goog"))
}

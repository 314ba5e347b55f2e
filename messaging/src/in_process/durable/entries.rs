//! The stored forms of topics, groups and messages.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use recount_core::{NameError, StoreError, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::in_process::stored::{Stored, Written};
use crate::{Binding, Group, Order, StartFrom, Topic};

/// A topic. As JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct TopicEntry {
    pub(super) lanes: NonZeroU16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept_for: Option<Duration>,
    /// The number of the last message, as of the last time at which messages were deleted.
    pub(super) last: u64,
}

impl TopicEntry {
    pub(super) fn new(topic: &Topic, last: u64) -> Self {
        Self { lanes: topic.lanes(), kept_for: topic.kept_for(), last }
    }

    pub(super) fn topic(&self, name: &str) -> Result<Topic, NameError> {
        let topic = Topic::new(name)?.with_lanes(self.lanes);
        Ok(match self.kept_for {
            Some(time) => topic.keep_for(time),
            None => topic,
        })
    }
}

/// A group. As JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct GroupEntry {
    per_key: bool,
    earliest: bool,
    lease: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_after: Option<Duration>,
    /// The messages below this number are settled, or are none of the group's.
    pub(super) first: u64,
}

impl GroupEntry {
    pub(super) fn new(binding: &Binding, first: u64) -> Self {
        Self {
            per_key: binding.order == Order::PerKey,
            earliest: binding.start == StartFrom::Earliest,
            lease: binding.lease,
            expires_after: binding.expires_after,
            first,
        }
    }

    pub(super) fn binding(&self, topic: &Topic, group: Group) -> Binding {
        let order = if self.per_key { Order::PerKey } else { Order::Unordered };
        let start = if self.earliest { StartFrom::Earliest } else { StartFrom::Latest };
        let binding = Binding::new(topic.clone(), group).order(order).start(start).lease(self.lease);
        Binding { expires_after: self.expires_after, ..binding }
    }
}

/// A message: this as JSON, a line feed, and the body.
#[derive(Serialize, Deserialize)]
struct MessageEntry {
    key: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    published_at: Timestamp,
    /// Values that are UTF-8.
    text: Vec<(usize, String, String)>,
    /// Other values, in Base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    binary: Vec<(usize, String, String)>,
}

pub(super) fn encode(message: &Stored) -> serde_json::Result<Bytes> {
    let Written { identity, headers, body } = &message.written;
    let (mut text, mut binary) = (Vec::with_capacity(headers.len()), Vec::new());
    for (place, (name, value)) in headers.iter().enumerate() {
        match std::str::from_utf8(value) {
            Ok(value) => text.push((place, name.to_owned(), value.to_owned())),
            Err(_) => binary.push((place, name.to_owned(), STANDARD.encode(value))),
        }
    }
    let (key, identity, published_at) = (Arc::clone(&message.key), identity.clone(), message.published_at);
    let mut bytes = serde_json::to_vec(&MessageEntry { key, identity, published_at, text, binary })?;
    bytes.reserve_exact(body.len() + 1);
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    Ok(bytes.into())
}

/// Reads a message of a topic. `now` is the same moment by both clocks.
pub(super) fn decode(
    topic: &Topic,
    sequence: u64,
    bytes: &Bytes,
    now: (Instant, Timestamp),
) -> Result<Stored, StoreError> {
    let what = |why: String| damaged(format!("message {sequence} of topic {topic}: {why}"));
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| what("it has no head".to_owned()))?;
    let entry: MessageEntry = serde_json::from_slice(&bytes[..end]).map_err(|error| what(error.to_string()))?;
    let mut headers: Vec<_> =
        entry.text.into_iter().map(|(place, name, value)| (place, name, value.into_bytes())).collect();
    for (place, name, value) in entry.binary {
        headers.push((place, name, STANDARD.decode(value).map_err(|error| what(error.to_string()))?));
    }
    headers.sort_by_key(|(place, ..)| *place);
    let headers = headers.into_iter().map(|(_, name, value)| (name, value)).collect();
    let written = Written { identity: entry.identity, headers, body: bytes.slice(end + 1..) };
    let age = Duration::try_from(now.1.duration_since(entry.published_at)).unwrap_or_default();
    // A clock that began less than its age ago takes the message for a new one.
    let stored = now.0.checked_sub(age).unwrap_or(now.0);
    let lane = topic.lane_of(&entry.key);
    Ok(Stored { sequence, lane, key: entry.key, written, published_at: entry.published_at, stored })
}

pub(super) fn damaged(what: String) -> StoreError {
    StoreError::Damaged { what: format!("the in-process broker: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawHeaders;

    #[test]
    fn a_message_comes_back_equal() {
        let topic = Topic::new("orders").unwrap();
        let now = (Instant::now(), Timestamp::UNIX_EPOCH);
        let headers: RawHeaders = [("b", &b"\xff\n"[..]), ("a", "ü\n\"".as_bytes()), ("b", b"")].into_iter().collect();
        for (identity, body) in [(None, &b""[..]), (Some("s/1".to_owned()), b"\n\xff{}")] {
            let written = Written { identity, headers: headers.clone(), body: Bytes::from_static(body) };
            let stored = Stored {
                sequence: 7,
                lane: topic.lane_of("k\nü"),
                key: "k\nü".into(),
                written,
                published_at: now.1,
                stored: now.0,
            };
            let read = decode(&topic, 7, &encode(&stored).unwrap(), now).unwrap();
            assert_eq!(format!("{read:?}"), format!("{stored:?}"));
        }
        for damaged in [&b""[..], b"{}", b"{}\n", b"x\n{}"] {
            assert!(decode(&topic, 7, &Bytes::copy_from_slice(damaged), now).is_err());
        }
    }
}

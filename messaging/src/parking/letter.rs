//! A parked message and its stored form.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use recount_core::{BoxError, StoreError, Timestamp};
use serde::{Deserialize, Serialize};

use super::names::QueueKey;
use crate::envelope::{from_json, to_json};
use crate::{BrokerPosition, Message, RawMessage};

/// A message that is set aside, with its origin and history.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Letter {
    /// The message.
    pub content: Content,
    /// The broker's name of where it came from.
    pub origin: Arc<str>,
    /// Its place there.
    pub position: Option<BrokerPosition>,
    /// When it was set aside.
    pub parked_at: Timestamp,
    /// Why.
    pub reason: String,
    /// The attempts before it was set aside.
    pub attempts: u32,
    /// The orders of operators.
    pub history: Vec<Note>,
}

/// The content of a parked message.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A message.
    Message(Box<Message>),
    /// A message with an unreadable envelope, as the broker delivered it.
    Malformed(RawMessage),
}

/// An order of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// The operator's order: `redriven`, `edited`.
    pub order: String,
    /// The operator's note.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The stored form: this as JSON, a line feed, and the body.
#[derive(Serialize, Deserialize)]
struct Stored {
    origin: Arc<str>,
    #[serde(default)]
    position: Option<(u64, u64)>,
    parked_at: Timestamp,
    reason: String,
    attempts: u32,
    #[serde(default)]
    history: Vec<Note>,
    /// The native headers of a malformed message, values in Base64. Else the body is the envelope as JSON.
    #[serde(default)]
    malformed: Option<Vec<(String, String)>>,
}

impl Letter {
    /// A message that is set aside now.
    pub(crate) fn new(content: Content, origin: Arc<str>, now: Timestamp, reason: String, attempts: u32) -> Self {
        Self { content, origin, position: None, parked_at: now, reason, attempts, history: Vec::new() }
    }

    /// The message, unless its envelope can't be read.
    #[must_use]
    pub fn message(&self) -> Option<&Message> {
        match &self.content {
            Content::Message(message) => Some(message),
            Content::Malformed(_) => None,
        }
    }

    /// The message's own identity.
    pub(crate) fn identity(&self) -> QueueKey {
        match &self.content {
            Content::Message(message) => QueueKey::of_message(&message.source, message.id.as_str()),
            Content::Malformed(raw) => QueueKey::of_malformed(raw, self.position),
        }
    }

    pub(super) fn encode(&self) -> Result<Bytes, BoxError> {
        let (malformed, body) = match &self.content {
            Content::Message(message) => (None, Bytes::from(to_json(message)?)),
            Content::Malformed(raw) => {
                let headers = raw.headers.iter().map(|(name, value)| (name.to_owned(), STANDARD.encode(value)));
                (Some(headers.collect()), raw.body.clone())
            }
        };
        let stored = Stored {
            origin: Arc::clone(&self.origin),
            position: self.position.map(|BrokerPosition(major, minor)| (major, minor)),
            parked_at: self.parked_at,
            reason: self.reason.clone(),
            attempts: self.attempts,
            history: self.history.clone(),
            malformed,
        };
        let mut bytes = serde_json::to_vec(&stored)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&body);
        Ok(bytes.into())
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, StoreError> {
        let damaged = |why: &str| StoreError::Damaged { what: format!("a parked message: {why}") };
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("it has no head"))?;
        let stored: Stored = serde_json::from_slice(&bytes[..end]).map_err(|error| damaged(&error.to_string()))?;
        let body = bytes.slice(end + 1..);
        let content = match stored.malformed {
            None => Content::Message(Box::new(from_json(&body).map_err(|error| damaged(&error.to_string()))?)),
            Some(headers) => {
                let decoded = headers.into_iter().map(|(name, value)| Ok((name, STANDARD.decode(value)?)));
                let headers = decoded.collect::<Result<_, base64::DecodeError>>();
                let headers = headers.map_err(|error| damaged(&error.to_string()))?;
                Content::Malformed(RawMessage { origin: Arc::clone(&stored.origin), headers, body })
            }
        };
        Ok(Self {
            content,
            origin: stored.origin,
            position: stored.position.map(|(major, minor)| BrokerPosition(major, minor)),
            parked_at: stored.parked_at,
            reason: stored.reason,
            attempts: stored.attempts,
            history: stored.history,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageId;

    #[test]
    fn a_letter_comes_back_equal() {
        let message = Message::new(MessageId::new("1").unwrap(), "s", "t", "{\"a\":\"\\n\"}").with_key("k\nü");
        let raw = RawMessage {
            origin: "queue\n1".into(),
            headers: [("x", &b"\xff\n"[..]), ("x", b"")].into_iter().collect(),
            body: Bytes::from_static(b"\n\0\xff"),
        };
        for content in [Content::Message(Box::new(message)), Content::Malformed(raw)] {
            let mut letter = Letter::new(content, "queue\n1".into(), Timestamp::UNIX_EPOCH, "no\nway".into(), 3);
            letter.position = Some(BrokerPosition(4, 2));
            letter.history.push(Note { at: Timestamp::UNIX_EPOCH, order: "redriven".into(), note: "n\n".into() });
            assert_eq!(Letter::decode(&letter.encode().unwrap()).unwrap(), letter);
        }
        for damaged in [&b""[..], b"{}", b"{}\n", b"x\n{}"] {
            assert!(Letter::decode(&Bytes::copy_from_slice(damaged)).is_err());
        }
    }
}

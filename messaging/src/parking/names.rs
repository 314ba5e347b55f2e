//! The names of entries.

use std::fmt;
use std::str::FromStr;

use recount_core::{Lane, NameError, Namespace, StateKey};
use serde::Serialize;

use crate::digest::hex_digest;
use crate::{BrokerPosition, RawMessage};

/// A queue of a consumer. Its text is a key, or the id of a message that waits alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QueueKey {
    /// The hash by which its entries are named.
    pub(crate) hash: String,
}

impl QueueKey {
    /// The queue of a key.
    pub(crate) fn of_key(key: &str) -> Self {
        Self { hash: hex_digest(&["key", key]) }
    }

    /// The queue of a key of a topic, among several topics.
    pub(crate) fn of_route(topic: &str, key: &str) -> Self {
        Self { hash: hex_digest(&["route", topic, key]) }
    }

    /// The queue of one message.
    pub(crate) fn of_message(source: &str, id: &str) -> Self {
        Self { hash: hex_digest(&["id", source, id]) }
    }

    /// The queue of one message with an envelope that can't be read.
    pub(crate) fn of_malformed(raw: &RawMessage, position: Option<BrokerPosition>) -> Self {
        let place = format!("{position:?}/{:?}", raw.body);
        Self { hash: hex_digest(&["place", &raw.origin, &place]) }
    }

    /// The lane in which its messages are handled, one after the other.
    pub(crate) fn lane(&self) -> Lane {
        Lane::of(self.hash.as_str())
    }

    pub(super) fn head(&self, consumer: &str) -> Result<StateKey, NameError> {
        Namespace::PARKED.key(format_args!("queue/{consumer}/{}", self.hash))
    }

    pub(super) fn letter(&self, consumer: &str, number: u64) -> Result<StateKey, NameError> {
        Namespace::PARKED.key(format_args!("letter/{consumer}/{}/{number:020}", self.hash))
    }
}

/// The entry that counts the changes of a consumer's queues.
pub(super) fn changes(consumer: &str) -> Result<StateKey, NameError> {
    Namespace::PARKED.key(format_args!("changes/{consumer}"))
}

/// The entry with the attempts at a message.
pub(super) fn attempts(consumer: &str, message: &QueueKey) -> Result<StateKey, NameError> {
    Namespace::PARKED.key(format_args!("attempt/{consumer}/{}", message.hash))
}

/// The entry that says that an operator has discarded or replaced this message.
pub(super) fn settled(consumer: &str, message: &QueueKey) -> Result<StateKey, NameError> {
    Namespace::PARKED.key(format_args!("{}{}", all_settled(consumer), message.hash))
}

/// The start of the names of these entries of a consumer.
pub(super) fn all_settled(consumer: &str) -> String {
    format!("settled/{consumer}/")
}

/// The start of the names of the heads of a consumer.
pub(super) fn heads(consumer: &str) -> String {
    format!("queue/{consumer}/")
}

/// Identifies a parked message: `CONSUMER/HASH/NUMBER`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct LetterId {
    pub(super) consumer: String,
    pub(super) hash: String,
    pub(super) number: u64,
}

impl LetterId {
    pub(super) fn queue(&self) -> QueueKey {
        QueueKey { hash: self.hash.clone() }
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.consumer, self.hash, self.number)
    }
}

impl From<LetterId> for String {
    fn from(id: LetterId) -> Self {
        id.to_string()
    }
}

/// The text is no id of a parked message.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no id of a message: it is written as CONSUMER/HASH/NUMBER, as `ls` shows it")]
pub struct InvalidLetterId(String);

impl FromStr for LetterId {
    type Err = InvalidLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidLetterId> {
        let invalid = || InvalidLetterId(text.chars().take(128).collect());
        let mut parts = text.rsplitn(3, '/');
        let (Some(number), Some(hash), Some(consumer)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        let number = number.parse().map_err(|_| invalid())?;
        let is_hash = hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if consumer.is_empty() || !is_hash {
            return Err(invalid());
        }
        Ok(Self { consumer: consumer.to_owned(), hash: hash.to_owned(), number })
    }
}

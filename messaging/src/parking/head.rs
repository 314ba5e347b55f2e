//! The stored head of a queue.

use recount_core::{StateEntry, StoreError, Timestamp};
use serde::{Deserialize, Serialize};

/// The head of a queue: which messages it holds, and when the first one is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The number of the first message.
    pub(super) first: u64,
    /// The number that the next message gets.
    pub(super) next: u64,
    /// The attempts at the first message since it was set aside, or redriven.
    pub(super) attempts: u32,
    /// When the first message is tried. `None`: it is a dead letter.
    pub(super) due: Option<Timestamp>,
    /// Until when a program has the first message for itself.
    pub(super) claimed: Option<Timestamp>,
    /// The last failure of the first message.
    pub(super) reason: String,
    /// Since when the queue has had this first message.
    pub(super) since: Timestamp,
}

impl Head {
    /// The head of a new queue. Its numbers begin with the time in microseconds, so that no number of an earlier queue of the
    /// same key comes again: an operator's order for a message that is gone hits no other one.
    pub(super) fn new(now: Timestamp) -> Self {
        Self::empty(u64::try_from(now.as_microsecond()).unwrap_or_default(), now)
    }

    /// The head of an empty queue that begins with this number.
    pub(super) fn empty(number: u64, now: Timestamp) -> Self {
        Self {
            first: number,
            next: number,
            attempts: 0,
            due: Some(now),
            claimed: None,
            reason: String::new(),
            since: now,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first >= self.next
    }

    /// When the first message can be tried. `None`: never without an operator.
    pub(super) fn ready(&self) -> Option<Timestamp> {
        self.due.map(|due| self.claimed.map_or(due, |claimed| claimed.max(due)))
    }

    /// Removes the first message. The next one is due at once.
    pub(super) fn advance(&mut self, now: Timestamp) {
        *self = Self { next: self.next, ..Self::empty(self.first + 1, now) };
    }

    pub(super) fn decode(entry: &StateEntry) -> Result<Self, StoreError> {
        serde_json::from_slice(&entry.value)
            .map_err(|error| StoreError::Damaged { what: format!("the head of a queue of parked messages: {error}") })
    }

    pub(super) fn encode(&self) -> Result<bytes::Bytes, serde_json::Error> {
        serde_json::to_vec(self).map(Into::into)
    }
}

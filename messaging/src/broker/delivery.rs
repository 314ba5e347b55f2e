//! Messages on their way: out to a broker, and in from one.

use recount_core::Timestamp;
use tokio::time::Instant;

use super::{LaneId, RawMessage, Ticket};
use crate::{Malformed, Message};

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing {
    /// The message.
    pub message: Message,
}

impl Outgoing {
    /// A message to publish now. An empty key is no key.
    #[must_use]
    pub fn new(mut message: Message) -> Self {
        message.key = message.key.filter(|key| !key.is_empty());
        Self { message }
    }

    /// The text that decides on the lane: the message's key, or its id if it has none.
    #[must_use]
    pub fn lane_key(&self) -> &str {
        self.message.key.as_deref().unwrap_or(self.message.id.as_str())
    }
}

impl From<Message> for Outgoing {
    fn from(message: Message) -> Self {
        Self::new(message)
    }
}

/// A message as it came from a broker.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// With it the delivery is settled.
    pub ticket: Ticket,
    /// The message, or why the envelope can't be read. The raw message is then in `raw`.
    pub message: Result<Message, Malformed>,
    /// How often it was delivered before.
    pub attempts: Attempts,
    /// When another consumer may get it, by this process's clock. `None` without a lease.
    pub lease_until: Option<Instant>,
    /// Its place in its lane, if the broker says.
    pub position: Option<BrokerPosition>,
    /// When the broker stored it, if it says.
    pub published_at: Option<Timestamp>,
    /// The message as the broker delivered it.
    pub raw: RawMessage,
}

impl Delivery {
    /// A delivery of which only the parts are known that every broker knows.
    #[must_use]
    pub fn new(ticket: Ticket, message: Result<Message, Malformed>, attempts: Attempts, raw: RawMessage) -> Self {
        Self { ticket, message, attempts, lease_until: None, position: None, published_at: None, raw }
    }

    /// Its lane.
    #[must_use]
    pub fn lane(&self) -> LaneId {
        self.ticket.lane()
    }
}

/// How often a message was delivered before, as far as the broker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
    /// Exactly so often.
    Exact(u32),
    /// So often or more.
    AtLeast(u32),
    /// The broker does not count.
    Unknown,
}

impl Attempts {
    /// Whether it may have been delivered before.
    #[must_use]
    pub fn may_repeat(self) -> bool {
        self != Self::Exact(0)
    }
}

/// A place in a lane, in an order of its own: an offset, a sequence number, or ledger and entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerPosition(pub u64, pub u64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageId;

    #[test]
    fn messages_with_an_empty_key_share_no_lane_key() {
        let message = |id| Message::new(MessageId::new(id).unwrap(), "s", "t", "{}");
        assert_eq!(message("1").with_key("").key, None);
        for id in ["1", "2"] {
            let empty = Outgoing::new(Message { key: Some("".into()), ..message(id) });
            assert_eq!((empty.lane_key(), &empty.message.key), (id, &None));
        }
        assert_eq!(Outgoing::new(message("1").with_key(" ")).lane_key(), " ");
    }
}

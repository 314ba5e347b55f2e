//! The items of an inbox: deliveries, and parked messages that are due.

use std::sync::atomic::{AtomicBool, Ordering};

use recount_core::Timestamp;

use crate::parking::{Content, Letter, QueueKey};
use crate::{Attempts, BrokerPosition, Malformed, Message, Order, RawMessage};

/// An item of an inbox.
pub(crate) enum Item {
    /// A message from the broker.
    Delivered(Box<Delivered>),
    /// The first message of this queue is due.
    Due(QueueKey),
}

/// A message from the broker, without its ticket.
pub(crate) struct Delivered {
    pub(crate) message: Result<Message, Malformed>,
    pub(crate) raw: RawMessage,
    pub(crate) position: Option<BrokerPosition>,
    /// The queue in which it waits behind the messages before it.
    pub(crate) queue: QueueKey,
    /// Its own identity.
    pub(crate) identity: QueueKey,
    /// Whether a program may have begun to handle it before.
    pub(crate) may_repeat: bool,
    /// Whether the broker says that it was delivered before.
    pub(crate) is_repeated: bool,
    /// Whether this delivery was counted as an attempt.
    counted: AtomicBool,
}

impl Delivered {
    /// `early` says whether it is one of the first deliveries of its lane that the broker does not count, see
    /// [`Early`](super::early::Early).
    pub(crate) fn new(delivery: crate::Delivery, order: Order, early: bool) -> (Self, crate::Ticket) {
        let crate::Delivery { ticket, message, attempts, position, raw, .. } = delivery;
        let identity = match &message {
            Ok(message) => QueueKey::of_message(&message.source, message.id.as_str()),
            Err(_) => QueueKey::of_malformed(&raw, position),
        };
        let key = message.as_ref().ok().and_then(|message| message.key.as_deref());
        let queue = match (order, key) {
            (Order::PerKey, Some(key)) => QueueKey::of_key(key),
            _ => identity.clone(),
        };
        let is_repeated = attempts.may_repeat() && attempts != Attempts::Unknown;
        let may_repeat = is_repeated || early;
        let counted = AtomicBool::new(false);
        (Self { message, raw, position, queue, identity, may_repeat, is_repeated, counted }, ticket)
    }

    /// Whether this is the first call for this delivery.
    pub(crate) fn count_once(&self) -> bool {
        !self.counted.swap(true, Ordering::Relaxed)
    }

    /// The message to set aside.
    pub(crate) fn letter(&self, now: Timestamp, reason: String, attempts: u32) -> Letter {
        let content = match &self.message {
            Ok(message) => Content::Message(Box::new(message.clone())),
            Err(_) => Content::Malformed(self.raw.clone()),
        };
        let mut letter = Letter::new(content, self.raw.origin.clone(), now, reason, attempts);
        letter.position = self.position;
        letter
    }
}

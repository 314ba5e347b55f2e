//! Consumers of a broker: deliveries in, settlements out.

use std::time::Duration;

use async_trait::async_trait;
use recount_core::Timestamp;
use tokio::time::Instant;

use super::{BrokerError, BrokerPosition, Delivery, LaneId, Ticket};

/// The consumer of one binding. One task owns it.
#[async_trait]
pub trait BrokerConsumer: Send {
    /// Waits for deliveries, or for news about lanes. Deliveries come only by this call, and no more than there is room for,
    /// so a caller that does not call it holds the broker back. After a pause of about a second without news it returns
    /// [`Signal::Idle`].
    ///
    /// # Errors
    /// [`BrokerError`] if the connection is lost. Tickets given out before are stale then, unless they are of a lane that is
    /// still held. The next call reconnects.
    ///
    /// # Cancel safety
    /// Cancel-safe: a dropped call loses no delivery.
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError>;

    /// Settles deliveries: as many outcomes as marks, in the same order. It uses up the tickets.
    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled>;

    /// Extends the lease of deliveries to this time from now.
    async fn extend(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled>;

    /// Continues from another place. Open deliveries become stale.
    ///
    /// # Errors
    /// [`BrokerError::Unsupported`] unless [`Capabilities::replay`](super::Capabilities::replay) allows it.
    async fn seek(&mut self, to: Seek) -> Result<(), BrokerError>;

    /// Stops the intake, releases the open deliveries, and writes pending settlements, within this time.
    async fn drain(self: Box<Self>, within: Duration) -> Drained;
}

/// How much a consumer's caller can take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many messages. At least 1.
    pub messages: usize,
    /// How many bytes of payload, together. A single message may be larger.
    pub bytes: usize,
    /// The lanes that shall not be read now.
    pub full: Vec<LaneId>,
}

impl Room {
    /// Room for so many messages of any lane, of 16 MiB together.
    #[must_use]
    pub fn of(messages: usize) -> Self {
        Self { messages: messages.max(1), bytes: 16 * 1024 * 1024, full: Vec::new() }
    }
}

/// An answer of [`BrokerConsumer::next`].
#[derive(Debug)]
pub enum Signal {
    /// Messages: those of one lane in their order.
    Deliveries(Vec<Delivery>),
    /// The lane is this consumer's from now on.
    Gained(LaneId),
    /// The lane will go to another consumer at this moment. Settlements before it count.
    Losing(LaneId, Instant),
    /// The lane is gone. Its tickets are stale, and its buffered deliveries must not be handled.
    Lost(LaneId),
    /// Nothing came. That is no sign that the broker answers: a request for messages may be under way.
    Idle,
}

/// Why a delivery was not kept, for the broker's own records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason.
    pub reason: String,
}

/// How a delivery is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// It was handled.
    Ack,
    /// It was not handled; it comes again at once, to this or another consumer.
    Release,
    /// It comes again after this time. See [`Capabilities::retry`](super::Capabilities::retry).
    Retry {
        /// The delay.
        after: Duration,
    },
    /// It shall not come again. The broker's own dead letters get it, if there are any.
    Reject(Rejection),
}

/// The outcome of a settlement.
#[derive(Debug)]
pub enum Settled {
    /// The broker has confirmed it.
    Confirmed,
    /// It was sent, and the broker does not confirm it. It may come again after a crash.
    Sent,
    /// The lease has ended, or the lane is another consumer's: someone else may have the message.
    Stale,
    /// The broker can't do this.
    Unsupported,
    /// It failed, and its effect is unknown.
    Failed(BrokerError),
}

impl Settled {
    /// Whether the broker took it, as far as it says.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Confirmed | Self::Sent)
    }
}

/// A place to continue from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The first message that the broker has.
    Start,
    /// Messages that are published from now on.
    End,
    /// The first message published at this time or later.
    Time(Timestamp),
    /// The first message of the lane behind this position.
    After(LaneId, BrokerPosition),
}

/// The outcome of [`BrokerConsumer::drain`].
#[derive(Debug, Default)]
pub struct Drained {
    /// Deliveries that were released.
    pub released: usize,
    /// The failure that ended it early, if one did.
    pub error: Option<BrokerError>,
}

//! Tickets: the right to settle one delivery, once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// A lane of a binding, numbered by the adapter: a partition, a shard queue. Brokers without lanes have lane 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u32);

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {}", self.0)
    }
}

/// The parts of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketParts {
    /// The lane of the delivery.
    pub lane: LaneId,
    /// How often the consumer had gained the lane, or connected, at the time of the delivery. The ticket of an earlier
    /// generation is stale.
    pub generation: u32,
    /// The adapter's number of the delivery.
    pub tag: u64,
    /// The adapter's handle, if a number is not enough.
    pub handle: Bytes,
}

/// The right to settle one delivery. It can't be copied, and settling uses it up.
///
/// It is a ticket of the consumer that gave out the delivery. For any other consumer it is stale.
///
/// A ticket that is dropped goes back to its adapter, which releases the delivery: it comes again, and is never
/// acknowledged.
pub struct Ticket {
    /// `None` once it is used up.
    parts: Option<TicketParts>,
    lane: LaneId,
    returns: Returns,
}

impl Ticket {
    /// A ticket of an adapter, which looks into `returns` for dropped ones.
    #[must_use]
    pub fn new(parts: TicketParts, returns: &Returns) -> Self {
        Self { lane: parts.lane, parts: Some(parts), returns: returns.clone() }
    }

    /// The lane of its delivery.
    #[must_use]
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    /// The parts, for adapters that extend a lease. `None` if it is the ticket of another consumer.
    #[must_use]
    pub fn parts(&self, of: &Returns) -> Option<&TicketParts> {
        self.parts.as_ref().filter(|_| self.returns.is(of))
    }

    /// Uses up the ticket, for adapters that settle. `None` if it is the ticket of another consumer, to which it goes back.
    #[must_use]
    pub fn redeem(mut self, of: &Returns) -> Option<TicketParts> {
        self.returns.is(of).then(|| self.parts.take()).flatten()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            self.returns.push(parts);
        }
    }
}

/// The dropped tickets of a consumer, for its adapter. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Returns(Arc<Mutex<Vec<TicketParts>>>);

impl Returns {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn push(&self, parts: TicketParts) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(parts);
    }

    /// Takes the tickets that were dropped since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<TicketParts> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

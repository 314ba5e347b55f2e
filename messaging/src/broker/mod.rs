//! The contract of message brokers.
//!
//! An adapter moves batches and reports outcomes. It never retries, never dead-letters, and never publishes a message
//! a second time: those decisions are made above it, once for all brokers. Each call ends within a time of the adapter's
//! own, even if the server has stopped to answer.

mod binding;
mod capabilities;
mod consumer;
mod contract;
mod delivery;
mod error;
mod fate;
mod pattern;
mod raw;
mod requests;
mod round_trip;
mod single;
mod table;
mod ticket;
mod times;

pub use binding::{Binding, Group, Order, Plan, StartFrom, Topic};
pub use capabilities::{
    AckSupport, AttemptCount, BatchLimits, BrokerDeadLetters, Capabilities, Charset, Dedupe, EnvelopeMode, Extend,
    HeaderLimits, KeyLimits, Lease, LimitSource, MessageLimit, NativeRetry, OrderSupport, Parallelism, Release, Replay,
    RequestReply,
};
pub use consumer::{BrokerConsumer, Drained, Rejection, Room, Seek, Settle, Settled, Signal};
pub use contract::{Broker, Change};
pub use delivery::{Attempts, BrokerPosition, Delivery, Outgoing};
pub use error::BrokerError;
pub use fate::{Fate, Refusal};
pub use pattern::TopicPattern;
pub use raw::{RawHeaders, RawMessage};
pub use requests::{InboxSignal, NativeRequests, RequestInbox, Undelivered};
pub(crate) use round_trip::round_trip;
pub(crate) use single::{Unconfirmed, publish_one, send_one};
pub use ticket::{LaneId, Returns, Ticket, TicketParts};

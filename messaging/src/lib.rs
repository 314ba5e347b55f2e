//! Messaging between services: what a service publishes, how it reaches other services, and how they handle it once.
//!
//! # The rooms of this crate
//!
//! *broker*: the contract of message brokers. A [`Broker`] publishes [`Outgoing`] messages to [`Topic`]s and reports the
//! [`Fate`] of each. A [`BrokerConsumer`] delivers the messages of a [`Binding`] with [`Ticket`]s, which are settled.
//! [`Capabilities`] say what a broker can do for a binding.
//!
//! *envelope*: a [`Message`] in the terms of CloudEvents 1.0, and its two encodings: attributes in native headers
//! ([`envelope::to_headers`]), or all in one JSON body ([`envelope::to_json`]).
//!
//! *in_process*: the broker in this process, [`InProcess`], with the behaviour of another one by its [`Profile`], and faults to
//! order.
//!
//! Brokers never know stores, and stores never know brokers: this crate joins them.

pub mod broker;
pub mod envelope;
mod in_process;

pub use broker::{
    AckSupport, Address, AttemptCount, Attempts, BatchLimits, Binding, Broker, BrokerConsumer, BrokerError,
    BrokerPosition, Capabilities, Change, Charset, DeadLetters, Dedupe, Delivery, Drained, EnvelopeMode, Extend, Fate,
    Group, HeaderLimits, KeyLimits, LaneId, Lease, LimitSource, MessageLimit, NativeRetry, Order, OrderSupport,
    Outgoing, Parallelism, Plan, RawMessage, Refusal, Rejection, Release, Replay, RequestReply, Returns, Room, Seek,
    Settle, Settled, Signal, StartFrom, Ticket, TicketParts, Topic,
};
pub use envelope::{Malformed, Message, MessageId};
pub use in_process::{Faults, InProcess, Profile, PublishFault, Settings};

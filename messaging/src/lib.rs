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
//! Brokers never know stores, and stores never know brokers: this crate joins them.

pub mod broker;
mod circuit;
pub mod envelope;
mod handler;
mod inbox;
mod parking;
mod relay;
mod request;
mod retry;
mod service;

pub use broker::{
    AckSupport, AttemptCount, Attempts, BatchLimits, Binding, Broker, BrokerConsumer, BrokerError, BrokerPosition,
    Capabilities, Change, Charset, Dedupe, Delivery, Drained, EnvelopeMode, Extend, Fate, Group, HeaderLimits,
    KeyLimits, LaneId, Lease, LimitSource, MessageLimit, NativeRetry, Order, OrderSupport, Outgoing, Parallelism, Plan,
    RawMessage, Refusal, Rejection, Release, Replay, RequestReply, Returns, Room, Seek, Settle, Settled, Signal,
    StartFrom, Ticket, TicketParts, Topic,
};
pub use circuit::{Circuit, CircuitSettings, CircuitState, Permit};
pub use envelope::{Malformed, Message, MessageId};
pub use handler::{HandledTwice, Incoming, MessageHandler, PermanentError, UnknownType};
pub use inbox::{LaterMessages, Subscriber};
pub use parking::{Content, DeadLetters, Letter, LetterError, LetterId, LetterState, LetterSummary, Note};
pub use relay::{Publication, PublicationParts};
pub use request::{GatewayBuilder, RequestError, Requester, ServiceGateway};
pub use retry::RetryPlan;
pub use service::Service;

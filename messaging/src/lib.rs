//! Messaging between services: a service publishes messages, they reach other services, which handle each once.
//!
//! # The rooms of this crate
//!
//! *broker*: the contract of message brokers. A [`Broker`] publishes [`Outgoing`] messages to [`Topic`]s and reports the
//! [`Fate`] of each. A [`BrokerConsumer`] delivers the messages of a [`Binding`] with [`Ticket`]s, which are settled.
//! [`Capabilities`] are the abilities of a broker for a binding.
//!
//! *envelope*: a [`Message`] in the terms of CloudEvents 1.0, and its two encodings: attributes in native headers
//! ([`envelope::to_headers`]), or all in one JSON body ([`envelope::to_json`]).
//!
//! *in_process*: the broker in this process, [`InProcess`], with the behaviour of another one by its [`Profile`], and faults to
//! order.
//!
//! *in process*: a broker in memory, the embedded default, which plays seven brokers as [`Profile`]s.
//!
//! *relay*: a [`Publication`] maps a service's private events to published ones, and publishes them from the service's own
//! store, which is the outbox.
//!
//! *inbox*: a [`Subscriber`] has the [`MessageHandler`]s of a group. A message that fails is tried again as its
//! [`RetryPlan`] says, waits in the store in the order of its key, and becomes one of the [`DeadLetters`] in the end.
//!
//! *request*: commands to aggregates of other services, with replies: [`ServiceGateway`].
//!
//! A [`Service`] has all of these together.
//!
//! Brokers never know stores, and stores never know brokers: this crate joins them.

pub mod broker;
mod circuit;
mod digest;
pub mod envelope;
mod handler;
mod in_process;
mod inbox;
mod parking;
mod relay;
mod request;
mod retry;
mod service;

pub use broker::{
    AckSupport, AttemptCount, Attempts, BatchLimits, Binding, Broker, BrokerConsumer, BrokerDeadLetters, BrokerError,
    BrokerPosition, Capabilities, Change, Charset, Dedupe, Delivery, Drained, EnvelopeMode, Extend, Fate, Group,
    HeaderLimits, KeyLimits, LaneId, Lease, LimitSource, MessageLimit, NativeRetry, Order, OrderSupport, Outgoing,
    Parallelism, Plan, RawMessage, Refusal, Rejection, Release, Replay, RequestReply, Returns, Room, Seek, Settle,
    Settled, Signal, StartFrom, Ticket, TicketParts, Topic,
};
pub use circuit::{Circuit, CircuitSettings, CircuitState, Permit};
pub use envelope::{Malformed, Message, MessageId};
pub use handler::{HandledTwice, Incoming, MessageHandler, PermanentError, UnknownType};
pub use in_process::{Faults, InProcess, Profile, PublishFault, Settings};
pub use inbox::{LaterMessages, Subscriber};
pub use parking::{Content, DeadLetters, Letter, LetterError, LetterId, LetterState, LetterSummary, Note};
pub use relay::{Publication, PublicationParts};
pub use request::{GatewayBuilder, RequestError, ServiceGateway};
pub use retry::RetryPlan;
pub use service::Service;

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
//! *in process*: a broker in memory or in a store, [`InProcess`], the embedded default. It plays other brokers as [`Profile`]s, and has faults
//! to order.
//!
//! *relay*: a [`Publication`] maps a service's private events to published ones, and publishes them from the service's own
//! store, which is the outbox.
//!
//! *inbox*: a [`Subscriber`] has the [`MessageHandler`]s of a group. A message that fails is tried again as its
//! [`RetryPlan`] says, waits in the store in the order of its key, and becomes one of the [`DeadLetters`] in the end.
//!
//! *route*: the topics among which a mapping chooses ([`Route`]), for publications and for messages that a subscriber forwards.
//!
//! *middleware*: layers of tower around the handling of each message ([`Subscriber::layer`]).
//!
//! *request*: commands to aggregates of other services, with replies: [`ServiceGateway`].
//!
//! *question*: questions to other services: an [`Asker`] asks, a [`Responder`] has the [`QuestionHandler`]s of a topic.
//!
//! *presence*: services announce themselves at the broker. An [`Observer`] hears them, and a [`Directory`] tells
//! their topics and the ways of their messages.
//!
//! A [`Service`] has all of these together.
//!
//! Brokers never know stores, and stores never know brokers: this crate joins them.

pub mod address;
pub mod broker;
mod certificates;
mod circuit;
mod deadline;
mod digest;
mod entries;
pub mod envelope;
mod handler;
mod in_process;
mod inbox;
mod middleware;
mod parking;
mod presence;
mod question;
mod relay;
mod request;
mod retry;
mod route;
mod service;
mod span;

pub use broker::{
    AckSupport, AttemptCount, Attempts, BatchLimits, Binding, Broker, BrokerConsumer, BrokerDeadLetters, BrokerError,
    BrokerPosition, Capabilities, Change, Charset, Dedupe, Delivery, Drained, EnvelopeMode, Extend, Fate, Group,
    HeaderLimits, InboxSignal, KeyLimits, LaneId, Lease, LimitSource, MessageLimit, NativeRequests, NativeRetry, Order,
    OrderSupport, Outgoing, Parallelism, Plan, RawHeaders, RawMessage, Refusal, Rejection, Release, Replay,
    RequestInbox, RequestReply, Returns, Room, Seek, Settle, Settled, Signal, StartFrom, Ticket, TicketParts, Topic,
    TopicPattern, Undelivered,
};
pub use certificates::read_certificates;
pub use circuit::{Circuit, CircuitSettings, CircuitState, Permit};
pub use deadline::{MAX_CALL_TIMEOUT, deadline_after};
pub use envelope::{Malformed, Message, MessageId};
pub use handler::{HandledTwice, Incoming, MessageHandler, PermanentError, TakenBy, UnknownType};
pub use in_process::{Faults, InProcess, Profile, PublishFault, Settings};
pub use inbox::{LaterMessages, Subscriber};
pub use middleware::{Handled, HandlerFuture, HandlerRequest, HandlerService};
pub use parking::{Content, DeadLetters, Letter, LetterError, LetterId, LetterState, LetterSummary, Note};
pub use presence::{
    Announcement, Directory, Explanation, GatewayEntry, Instance, Manifest, MessageType, Observer, Presence,
    PublicationEntry, PublishedBy, SentBy, SubscriptionEntry, TakenIn, TopicUse, Treatment, TypeTaken, Warning,
};
pub use question::{
    AnsweredTwice, AskError, Asked, Asker, Question, QuestionHandler, Replies, ReplyError, ReplySender, Responder,
};
pub use relay::{Publication, PublicationParts, RoutedPublication};
pub use request::{GatewayBuilder, RequestError, ServiceGateway, reply_schema, reply_type};
pub use retry::RetryPlan;
pub use route::{Route, Routed};
pub use service::Service;
pub use smol_str::SmolStr;

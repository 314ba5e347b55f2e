//! Event sourcing for Rust, where the numbers must be right.
//!
//! An application stores its history instead of its state: events, appended to streams, never changed. The state on
//! which commands are decided is folded from them, and so are the tables that are queried. recount is the machinery
//! around that: you write the types, the rules and the tables.
//!
//! # The words
//!
//! * An [`Event`] is something that happened: a type with a stored name, versions and JSON payload. Derive it.
//! * An [`Aggregate`] is a stream of events with rules: state by [`Apply`], decisions by [`Handle`], asked by a [`Command`]. Derive it.
//! * A [`Decision`] is a rule over events of several streams, chosen by type and tag: a dynamic consistency boundary.
//! * [`Recount`] is the handle: [`dispatch`](Recount::dispatch) commands, [`decide`](Recount::decide), [`load`](Recount::load)
//!   state of now or then, [`subscribe`](Recount::subscribe).
//! * A [`Projection`] listens to events and writes a read model, each event once. [`Fold`] is one from a closure.
//! * A [`Reaction`] listens to events and sends commands, each once. [`Consumers`] run both.
//! * A [`Process`] is long-running work across aggregates: it hears events, and answers with a [`Step`] of facts, commands and timers.
//! * An [`EventStore`] keeps the events. [`connect`] opens one by its address.
//!
//! # A whole program
//!
//! ```
//! use std::sync::Arc;
//! use recount::prelude::*;
//!
//! #[derive(Event, Clone, Debug, PartialEq)]
//! #[event(name = "seat")]
//! enum SeatEvent {
//!     Booked { passenger: String },
//! }
//!
//! #[derive(Command, Clone)]
//! #[command(aggregate = Seat)]
//! struct Book {
//!     #[command(id)]
//!     seat: String,
//!     passenger: String,
//! }
//!
//! #[derive(Debug, PartialEq, thiserror::Error)]
//! #[error("taken")]
//! struct Taken;
//!
//! #[derive(Aggregate, Clone, Default)]
//! #[aggregate(name = "seat", id = String, event = SeatEvent, error = Taken, commands(Book))]
//! struct Seat {
//!     taken: bool,
//! }
//!
//! impl Apply for Seat {
//!     fn apply(&mut self, SeatEvent::Booked { .. }: &SeatEvent) {
//!         self.taken = true;
//!     }
//! }
//!
//! impl Handle<Book> for Seat {
//!     fn handle(&self, Book { passenger, .. }: Book) -> Result<Vec<SeatEvent>, Taken> {
//!         if self.taken { Err(Taken) } else { Ok(vec![SeatEvent::Booked { passenger }]) }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let recount = recount::connect("memory://").await?;
//! let receipt = recount.dispatch(Book { seat: "12a".into(), passenger: "Ada".into() }).await?;
//! let again = recount.dispatch(Book { seat: "12a".into(), passenger: "Bob".into() }).await;
//! assert!(matches!(again, Err(DispatchError::Rejected(Taken))));
//!
//! let booked = Arc::new(Fold::new(0, |count, _: &SeatEvent, _| *count += 1));
//! let projections = recount.consumers().projection(Arc::clone(&booked), InMemory::new()).start();
//! projections.wait_for(receipt.position.unwrap_or_default()).await.map_err(|stopped| format!("{stopped:?}"))?;
//! assert_eq!(*booked.state(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! * An append is all or nothing, and durable when it is acknowledged (on SQLite; memory lasts as long as its process).
//! * Of commands that exclude each other one takes effect, also if they run in different processes.
//! * Every subscriber sees every event it asks for, once, in the order of positions.
//! * On a read model with transactions each event takes effect exactly once, also after a crash.
//! * A process takes no step twice, and each of its commands has one outcome: its effect, its refusal, or its withdrawal.
//! * An event of any released version reads, or the program says which version it lacks. Nothing is filled in silently.
//! * Every stored event decodes to an equal event: an event with a value that JSON does not preserve, such as `NaN`, is
//!   refused.
//! * Dropping any future leaves everything usable, and its operation done or not done.
//!
//! # Not guaranteed
//!
//! * A process's guarantees end where a call leaves the store, and hold as long as idempotency keys are kept.
//! * A handler with effects outside its read model (a mail, a call) may run again after a crash: make those idempotent.
//! * Order holds within a store, not between stores; times are the store's clock, and clocks step back.
//! * Without an idempotency key, the caller can't know whether a command took effect when its answer was lost.
//!
//! # Features
//!
//! | feature | gives | default |
//! |---|---|---|
//! | `memory` | [`memory`], `memory://` | yes |
//! | `sqlite` | [`sqlite`], `sqlite://FILE` | yes |
//! | `postgres` | `recount::postgres`, `postgres://HOST/DATABASE` | no |
//! | `postgres-tls` | the same, encrypted | no |
//! | `messaging` | `recount::messaging`: messages between services, `recount::broker::connect`, a broker in this process | no |
//! | `aws` | `recount::aws`: messages over Amazon SQS and SNS | no |
//! | `nats` | `recount::nats`: messages over NATS JetStream | no |
//! | `pulsar` | `recount::pulsar`: messages over Apache Pulsar; building it needs `protoc` (Debian: `protobuf-compiler`) on the PATH or in `PROTOC` | no |
//! | `rabbitmq` | `recount::rabbitmq`: messages over RabbitMQ | no |
//! | `google` | `recount::google`: messages over Google Cloud Pub/Sub | no |
//! | `kafka` | `recount::kafka`: messages over Kafka; its C library is built with it, which wants gcc, g++, make, python3 and the headers of zlib | no |
//! | `kafka-tls` | the same, encrypted, and with SCRAM; wants pkg-config and the headers of OpenSSL, too | no |
//! | `catalogue` | `recount::catalogue`: an application's events and commands as JSON Schema files and a page; with `messaging` an AsyncAPI document | no |
//! | `metrics` | metrics through the `metrics` facade | no |
//! | `telemetry` | `recount::telemetry`: metrics for Prometheus, and health endpoints | no |
//! | `telemetry-otel` | `recount::telemetry`: traces over OTLP | no |
//! | `chrono`, `time`, `rust_decimal` | [`Shape`] of these crates' types | no |

mod address;
#[cfg(feature = "messaging")]
pub mod broker;
mod connect;
pub mod prelude;

pub use address::{Address, AddressError};
pub use connect::{ConnectError, connect};
#[cfg(feature = "aws")]
pub use recount_broker_aws as aws;
#[cfg(feature = "google")]
pub use recount_broker_google as google;
#[cfg(feature = "kafka")]
pub use recount_broker_kafka as kafka;
#[cfg(feature = "nats")]
pub use recount_broker_nats as nats;
#[cfg(feature = "pulsar")]
pub use recount_broker_pulsar as pulsar;
#[cfg(feature = "rabbitmq")]
pub use recount_broker_rabbitmq as rabbitmq;
#[cfg(feature = "catalogue")]
pub use recount_catalogue as catalogue;
#[doc(hidden)]
pub use recount_core::__private;
pub use recount_core::*;
#[cfg(feature = "messaging")]
pub use recount_messaging as messaging;
#[cfg(feature = "memory")]
pub use recount_store_memory as memory;
#[cfg(feature = "postgres")]
pub use recount_store_postgres as postgres;
#[cfg(feature = "sqlite")]
pub use recount_store_sqlite as sqlite;
#[cfg(any(feature = "telemetry", feature = "telemetry-otel"))]
pub use recount_telemetry as telemetry;

/// The examples of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// The example of the chapter on messages, compiled and run.
#[cfg(all(doctest, feature = "catalogue", feature = "memory", feature = "messaging"))]
#[doc = include_str!("../docs/messaging.md")]
pub struct Messaging;

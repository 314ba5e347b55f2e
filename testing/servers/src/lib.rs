//! Real servers for the tests: found or installed, started on free ports in temporary directories, gone afterwards.
//!
//! A [`Postgres`] is one private server. Tests of restarts and of broken disks start their own; all others share one
//! that `cargo xtask test` starts. [`Programs`] are the programs of one version. [`Nats`], [`RabbitMq`], [`Kafka`], [`Pulsar`],
//! [`Aws`] and [`PubSub`] are private servers of messages; the last two stand in for services of a cloud.
//!
//! # The environment
//!
//! `cargo xtask test` tells the tests by variables: [`PLACE`] is where servers of their own have their directories, and goes in the end
//! with all that is in it; [`PROGRAMS`] is where the programs are. Without them both are found anew.

mod apt;
#[cfg(feature = "certificates")]
mod authority;
mod aws;
mod build;
mod go;
mod http;
mod jars;
mod java;
mod kafka;
mod nats;
mod node;
mod postgres;
mod process;
mod programs;
mod pubsub;
mod pulsar;
mod rabbitmq;
mod run;
mod wheel;

#[cfg(feature = "certificates")]
pub use authority::Authority;
pub use aws::{Aws, AwsKind};
pub use build::{build_tools, protoc};
pub use jars::Jars;
pub use java::Java;
pub use kafka::{Kafka, KafkaSettings};
pub use nats::{Nats, NatsSettings};
pub use node::node_package;
pub use postgres::Postgres;
pub use programs::Programs;
pub use pubsub::{PubSub, PubSubFault};
pub use pulsar::{Pulsar, PulsarSettings};
pub use rabbitmq::RabbitMq;
pub use wheel::{build_directory, python_environment, python_package, python_packages};

/// The directory for the directories of servers.
pub const PLACE: &str = "RECOUNT_TEST_PLACE";
/// The directory with the programs of Postgres.
pub const PROGRAMS: &str = "RECOUNT_TEST_POSTGRES_PROGRAMS";
/// The URL of a NATS server with JetStream that is used in place of a private one.
pub const NATS: &str = "RECOUNT_TEST_NATS";
/// The URL of a RabbitMQ that tests may share.
pub const AMQP: &str = "RECOUNT_TEST_AMQP";
/// The address of a server with SQS and SNS that tests may share, as programs of recount take it.
pub const SNS: &str = "RECOUNT_TEST_SNS";
/// The address of a server with SQS that tests may share, as programs of recount take it.
pub const SQS: &str = "RECOUNT_TEST_SQS";
/// The address of a Pulsar that tests may share, with that of its admin interface.
pub const PULSAR: &str = "RECOUNT_TEST_PULSAR";
/// The address of a Kafka that tests may share.
pub const KAFKA: &str = "RECOUNT_TEST_KAFKA";
/// The address of a Pub/Sub that tests may share, as programs of recount take it.
pub const PUBSUB: &str = "RECOUNT_TEST_PUBSUB";

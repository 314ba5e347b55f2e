//! Real servers for the tests: found or installed, started on free ports in temporary directories, gone afterwards.
//!
//! A [`Postgres`] is one private server. Tests of restarts and of broken disks start their own; all others share one
//! that `cargo xtask test` starts. [`Programs`] are the programs of one version. [`Nats`] and [`RabbitMq`] are private servers of messages.
//!
//! # The environment
//!
//! `cargo xtask test` tells the tests by variables: [`PLACE`] is where servers of their own have their directories, and goes in the end
//! with all that is in it; [`PROGRAMS`] is where the programs are. Without them both are found anew.

mod nats;
mod postgres;
mod programs;
mod rabbitmq;
mod run;
mod wheel;

pub use nats::{Nats, NatsSettings};
pub use postgres::Postgres;
pub use programs::Programs;
pub use rabbitmq::RabbitMq;
pub use wheel::{build_directory, python_package};

/// The directory for the directories of servers.
pub const PLACE: &str = "RECOUNT_TEST_PLACE";
/// The directory with the programs of Postgres.
pub const PROGRAMS: &str = "RECOUNT_TEST_POSTGRES_PROGRAMS";
/// The URL of a NATS server with JetStream that is used in place of a private one.
pub const NATS: &str = "RECOUNT_TEST_NATS";
/// The URL of a RabbitMQ that tests may share.
pub const AMQP: &str = "RECOUNT_TEST_AMQP";

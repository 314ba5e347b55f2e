//! Measurements, by the crate `bench`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use recount_servers::{AwsKind, NatsSettings};

use crate::run::{cargo, cargo_with};
use crate::test::Place;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The core, the memory store and SQLite.
    Core {
        /// Also writes the figures to this file, as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// The Postgres store beside hand-written SQL and its peers, on a private server unless RECOUNT_TEST_POSTGRES names one.
    Postgres {
        /// Also writes the ratios to this file, as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
        /// Measures only these.
        #[arg(long, value_name = "KEYS", hide = true)]
        only: Option<String>,
    },
    /// The brokers beside their raw clients, and messages from store to store, on servers of its own unless the environment
    /// names some.
    Brokers {
        /// Also writes the ratios to this file, as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
        /// Measures only these.
        #[arg(long, value_name = "PARTS")]
        only: Option<String>,
    },
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Core { json } => cargo(&borrowed(&arguments("core", json, None))),
            Self::Postgres { json, only } => {
                cargo(&["build", "--release", "-p", "bench"])?;
                let place = Place::new()?;
                // An ordinary size; everything that makes it durable stays as it is by default.
                let environment = place.postgres(&["shared_buffers=2GB"])?;
                cargo_with(&borrowed(&arguments("postgres", json, only)), &environment)
            }
            Self::Brokers { json, only } => {
                cargo(&["build", "--release", "-p", "bench"])?;
                let place = Place::new()?;
                let mut environment = place.postgres(&["shared_buffers=2GB"])?;
                // As servers are by default. A server that syncs each message hides the cost of the client.
                environment.extend(place.nats(NatsSettings { lazy_sync: true, ..NatsSettings::default() })?);
                environment.extend(place.rabbitmq()?);
                environment.extend(place.aws(recount_servers::SNS, AwsKind::FauxqsInMemory)?);
                environment.extend(place.pulsar()?);
                environment.extend(place.kafka()?);
                environment.extend(place.pubsub()?);
                cargo_with(&borrowed(&arguments("brokers", json, only)), &environment)
            }
        }
    }
}

fn arguments(what: &str, json: Option<PathBuf>, only: Option<String>) -> Vec<String> {
    let mut arguments: Vec<String> = ["run", "--release", "-p", "bench", "--", what].map(str::to_owned).into();
    if let Some(json) = json {
        arguments.extend(["--json".to_owned(), json.display().to_string()]);
    }
    if let Some(only) = only {
        arguments.extend(["--only".to_owned(), only]);
    }
    arguments
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

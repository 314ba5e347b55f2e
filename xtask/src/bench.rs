//! Measurements, by the crate `bench`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Subcommand;
use recount_servers::{AwsKind, NatsSettings};
use serde_json::{Map, Value, json};

use crate::run::{cargo, cargo_with};
use crate::test::{Environment, Place};

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
                brokers(json, only.as_deref())
            }
        }
    }
}

/// The parts that are measured by one program, beside the servers that they need and no others.
const GROUPS: [&[&str]; 6] =
    [&["nats", "latency", "inbox", "shop"], &["rabbitmq"], &["aws"], &["pulsar"], &["google"], &["kafka"]];

fn brokers(json: Option<PathBuf>, only: Option<&str>) -> Result<()> {
    let place = Place::new()?;
    let wanted = |part: &&str| only.is_none_or(|only| only.split(',').any(|wanted| wanted == *part));
    let known = GROUPS.concat();
    if let Some(unknown) = only.and_then(|only| only.split(',').find(|part| !known.contains(part))) {
        bail!("{unknown:?} is no part: there are {}", known.join(", "));
    }
    let mut ratios = Map::new();
    for group in GROUPS {
        let parts: Vec<&str> = group.iter().copied().filter(wanted).collect();
        let Some(first) = parts.first() else { continue };
        let environment = servers(&place, &parts)?;
        let file = place.directory().join(format!("{first}.json"));
        let measured = arguments("brokers", Some(file.clone()), Some(parts.join(",")));
        cargo_with(&borrowed(&measured), &environment)?;
        place.clear();
        let mut figures: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        ratios.extend(figures["ratios"].as_object_mut().map(std::mem::take).unwrap_or_default());
    }
    match json {
        Some(json) => Ok(std::fs::write(json, serde_json::to_string_pretty(&json!({ "ratios": ratios }))? + "\n")?),
        None => Ok(()),
    }
}

/// Starts the servers of these parts. Returns their variables.
fn servers(place: &Place, parts: &[&str]) -> Result<Environment> {
    match parts[0] {
        "rabbitmq" => place.rabbitmq(),
        "aws" => place.aws(recount_servers::SNS, AwsKind::FauxqsInMemory),
        "pulsar" => place.pulsar(),
        "google" => place.pubsub(),
        "kafka" => place.kafka(),
        _ => {
            // As servers are by default. A server that syncs each message hides the cost of the client.
            let mut environment = place.nats(NatsSettings { lazy_sync: true, ..NatsSettings::default() })?;
            if parts.contains(&"inbox") {
                environment.extend(place.postgres(&["shared_buffers=2GB"])?);
            }
            Ok(environment)
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

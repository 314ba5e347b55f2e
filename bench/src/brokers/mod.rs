//! Brokers beside their raw clients, messages from store to store, and the shop as services: `cargo xtask bench brokers`.

mod aws;
mod compare;
mod google;
mod inbox;
mod kafka;
mod latency;
mod nats;
mod pulsar;
mod rabbitmq;
mod shop;

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::figures::Figures;

/// The variables that name the servers.
const NATS: &str = "RECOUNT_TEST_NATS";
const AMQP: &str = "RECOUNT_TEST_AMQP";
const SNS: &str = "RECOUNT_TEST_SNS";
const PULSAR: &str = "RECOUNT_TEST_PULSAR";
const PUBSUB: &str = "RECOUNT_TEST_PUBSUB";
const KAFKA: &str = "RECOUNT_TEST_KAFKA";
const POSTGRES: &str = "RECOUNT_TEST_POSTGRES";

/// The parts, in the order in which they are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// `nats_publish` and `nats_consume`.
    Nats,
    /// `rabbitmq_publish` and `rabbitmq_consume`.
    Rabbitmq,
    /// `aws_publish` and `aws_consume`.
    Aws,
    /// `pulsar_publish` and `pulsar_consume`.
    Pulsar,
    /// `google_publish` and `google_consume`.
    Google,
    /// `kafka_publish` and `kafka_consume`.
    Kafka,
    /// `append_to_remote_handler_p50_ms`.
    Latency,
    /// `inbox_postgres_per_s`.
    Inbox,
    /// `events_vs_request_reply` and `accepted_percent`.
    Shop,
}

/// Measures everything, or only these parts.
pub async fn measure(json: Option<&Path>, only: &[Part]) -> Result<()> {
    let measured = |part| only.is_empty() || only.contains(&part);
    let mut figures = Figures::default();
    if measured(Part::Nats) {
        nats::measure(&mut figures, &server(NATS)?).await?;
    }
    if measured(Part::Rabbitmq) {
        rabbitmq::measure(&mut figures, &server(AMQP)?).await?;
    }
    if measured(Part::Aws) {
        aws::measure(&mut figures, &server(SNS)?).await?;
    }
    if measured(Part::Pulsar) {
        pulsar::measure(&mut figures, &server(PULSAR)?).await?;
    }
    if measured(Part::Google) {
        google::measure(&mut figures, &server(PUBSUB)?).await?;
    }
    if measured(Part::Kafka) {
        kafka::measure(&mut figures, &server(KAFKA)?).await?;
    }
    if measured(Part::Latency) {
        latency::measure(&mut figures, &server(NATS)?).await?;
    }
    if measured(Part::Inbox) {
        inbox::measure(&mut figures, &server(NATS)?, &server(POSTGRES)?).await?;
    }
    if measured(Part::Shop) {
        shop::measure(&mut figures, &server(NATS)?)?;
    }
    println!("\n{figures}\n\n{}", figures.markdown());
    if let Some(json) = json {
        figures.write_as(json, "ratios")?;
    }
    Ok(())
}

fn server(variable: &str) -> Result<String> {
    std::env::var(variable)
        .with_context(|| format!("{variable} is not set: run `cargo xtask bench brokers`, which starts a server"))
}

/// The endpoint in the address of a server that stands in for a service of a cloud.
fn endpoint(url: &str) -> Result<&str> {
    let endpoint = url.split("endpoint=").nth(1).and_then(|rest| rest.split('&').next());
    endpoint.context("the address of the server has no endpoint")
}

/// A name that no other run has used.
fn unique(start: &str) -> String {
    format!("{start}-{}", uuid::Uuid::now_v7().simple())
}

//! Brokers beside their raw clients, and messages from store to store: `cargo xtask bench brokers`.

mod compare;
mod inbox;
mod latency;
mod nats;
mod rabbitmq;

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::figures::Figures;

/// The variables that name the servers.
const NATS: &str = "RECOUNT_TEST_NATS";
const AMQP: &str = "RECOUNT_TEST_AMQP";
const POSTGRES: &str = "RECOUNT_TEST_POSTGRES";

/// The parts, in the order in which they are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// `nats_publish` and `nats_consume`.
    Nats,
    /// `rabbitmq_publish` and `rabbitmq_consume`.
    Rabbitmq,
    /// `append_to_remote_handler_p50_ms`.
    Latency,
    /// `inbox_postgres_per_s`.
    Inbox,
}

/// Measures everything, or only these parts.
///
/// What the shop shows as services, `events_vs_request_reply` and `accepted_percent`, belongs behind these parts: figures of
/// `target/release/shop`, run as a process of its own as in [`import`](crate::import).
pub async fn measure(json: Option<&Path>, only: &[Part]) -> Result<()> {
    let measured = |part| only.is_empty() || only.contains(&part);
    let mut figures = Figures::default();
    if measured(Part::Nats) {
        nats::measure(&mut figures, &server(NATS)?).await?;
    }
    if measured(Part::Rabbitmq) {
        rabbitmq::measure(&mut figures, &server(AMQP)?).await?;
    }
    if measured(Part::Latency) {
        latency::measure(&mut figures, &server(NATS)?).await?;
    }
    if measured(Part::Inbox) {
        inbox::measure(&mut figures, &server(NATS)?, &server(POSTGRES)?).await?;
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

/// A name that no other run has used.
fn unique(start: &str) -> String {
    format!("{start}-{}", uuid::Uuid::now_v7().simple())
}

//! The times of two ways to place an order: by events, where the answer comes when the order is recorded, and by requests,
//! where it comes after the whole chain: recorded, reserved, paid, told.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::clerk::Clerk;
use super::crew::{Crew, Settings};
use super::feed::{Feed, Pace, Tally};
use super::parts::Fulfilling;
use super::stores::Stores;
use super::topology::Names;
use crate::cdnow::{Orders, Row};
use crate::rule::{ON_THE_SHELF, card_is_declined, payment_method};
use crate::stop::Stop;
use crate::values::{CustomerId, PaymentMethod};

/// The time between two orders. It is the same for both ways, so that the services have the same load.
const EVERY: Duration = Duration::from_millis(100);
/// How long an answer is waited for: an order that is submitted again would be measured by the work of two.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How many orders are placed before the measured ones.
const WARM_UP: usize = 20;

/// The times of the answers.
#[derive(Debug, Serialize)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Debug, Serialize)]
struct Comparison {
    orders: usize,
    events: Latency,
    request_reply: Latency,
    /// The median by events in relation to that by requests.
    events_vs_request_reply: f64,
    /// The same of the 99th percentiles.
    events_vs_request_reply_p99: f64,
}

/// Places orders both ways, one after the other, and prints the times.
pub async fn run(settings: &Settings, orders: &Orders, count: usize, json: bool, stop: &mut Stop) -> Result<ExitCode> {
    ensure!(count > 0, "--compare needs at least one order");
    let rows: Vec<Row> = orders.rows.iter().filter(|row| is_plain(&orders.source, row)).cloned().collect();
    ensure!(rows.len() >= 2 * (count + WARM_UP), "--compare: the file has {} orders that are shipped", rows.len());
    let (first, second) = rows.split_at(count + WARM_UP);
    let measured = async {
        let events = measure(settings, Fulfilling::ByEvents, &orders.source, first).await?;
        let requests = measure(settings, Fulfilling::ByRequests, &orders.source, &second[..count + WARM_UP]).await?;
        anyhow::Ok((events, requests))
    };
    let (events, request_reply) = tokio::select! {
        measured = measured => measured?,
        code = stop.asked() => return Ok(code),
    };
    let comparison = Comparison {
        orders: count,
        events_vs_request_reply: events.p50_ms / request_reply.p50_ms,
        events_vs_request_reply_p99: events.p99_ms / request_reply.p99_ms,
        events,
        request_reply,
    };
    if json {
        println!("{}", serde_json::to_string(&comparison)?);
    } else {
        let Comparison { events, request_reply, .. } = &comparison;
        println!("{count} orders each, one every {EVERY:?}; an answer after (median, 99th percentile)");
        println!("  by events    {:>8.2} ms {:>8.2} ms", events.p50_ms, events.p99_ms);
        println!("  by requests  {:>8.2} ms {:>8.2} ms", request_reply.p50_ms, request_reply.p99_ms);
        println!(
            "  ratio        {:>8.2}    {:>8.2}",
            comparison.events_vs_request_reply, comparison.events_vs_request_reply_p99
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether nothing can come between: it is on the shelf, and its card is good.
fn is_plain(source: &str, row: &Row) -> bool {
    let customer = CustomerId::from(format!("{source}-{}", row.customer));
    row.cds <= ON_THE_SHELF && !card_is_declined(&customer) && payment_method(row.line) == PaymentMethod::Card
}

/// Starts the services with stores and topics of their own, and places the orders.
async fn measure(settings: &Settings, fulfilling: Fulfilling, source: &str, rows: &[Row]) -> Result<Latency> {
    let scratch = tempfile::Builder::new().prefix("shop-compare-").tempdir()?;
    let name = format!("{}-{:08x}", settings.names.shop(), fastrand::u32(..));
    let settings = Settings {
        stores: Stores::Directory(scratch.path().to_owned()),
        names: Names::new(&name)?,
        fulfilling,
        ..settings.clone()
    };
    let crew = Crew::start(&settings).await?;
    let placed = async {
        let clerk = Clerk::new(crew.entry());
        clerk.wait_until_up().await;
        let (warm_up, measured) = rows.split_at(WARM_UP.min(rows.len()));
        let feed = |rows| Feed { clerk: &clerk, source, pace: pace(rows), within: ANSWER_WITHIN };
        feed(warm_up).run(warm_up, &Tally::default()).await?;
        let tally = Tally::default();
        feed(measured).run(measured, &tally).await?;
        latency(&tally)
    };
    let latency = tokio::select! {
        latency = placed => latency,
        error = crew.failed() => Err(error),
    };
    crew.stop().await?;
    latency
}

fn pace(rows: &[Row]) -> Pace {
    Pace::Over(EVERY * u32::try_from(rows.len()).unwrap_or(u32::MAX))
}

fn latency(tally: &Tally) -> Result<Latency> {
    let times = tally.latencies();
    let percentile = |percent: usize| -> Option<&Duration> { times.get((times.len().checked_sub(1)?) * percent / 100) };
    let (Some(p50), Some(p99)) = (percentile(50), percentile(99)) else {
        anyhow::bail!("no order was accepted");
    };
    Ok(Latency { p50_ms: p50.as_secs_f64() * 1000.0, p99_ms: p99.as_secs_f64() * 1000.0 })
}

//! An e-commerce platform on real orders: `cargo run -p shop`.
#![allow(unreachable_pub, reason = "in a program, `pub` is what modules show each other")]

mod analytics;
mod cdnow;
mod cohort;
mod import;
mod inventory;
mod notification;
mod order;
mod payment;
mod reaction;
mod report;
mod shop;
mod user;
mod values;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use indicatif::{MultiProgress, ProgressDrawTarget};
use jiff::civil::Date;
use tracing_subscriber::EnvFilter;

use cdnow::Orders;
use report::Report;
use shop::Shop;

/// Turns 69,659 real orders of the online shop CDNOW into events, read models and a report. Stop it at any point and run
/// it again: it goes on where it was, and nothing is counted twice.
///
/// Exit status: 0 if all is well, 2 if the file had malformed lines (the others are in), 1 if something failed.
#[derive(Parser)]
struct Arguments {
    /// Where the events are kept: sqlite://FILE or memory://
    #[arg(long, value_name = "URL", default_value = "sqlite://shop.db")]
    store: String,
    /// The orders, plain or .gz [default: the CDNOW orders of 1997 and 1998]
    #[arg(long, value_name = "FILE")]
    orders: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
    /// Summarise each customer's purchases up to this day, such as 1997-09-30; needs --csv
    #[arg(long, value_name = "DATE", requires = "csv")]
    cohort_cut: Option<Date>,
    /// Where to write that summary; needs --cohort-cut
    #[arg(long, value_name = "OUT", requires = "cohort_cut")]
    csv: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("shop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let file = arguments
        .orders
        .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/data/cdnow-1997-1998.txt.gz")));
    let orders = Orders::read(&file)?;
    for malformed in &orders.malformed {
        eprintln!("{malformed}");
    }
    let start = Instant::now();
    let mut shop = Shop::open(&arguments.store).await?;
    let bars = MultiProgress::with_draw_target(if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    });
    let finished = tokio::select! {
        finished = shop.take_in(&orders, &bars) => Some(finished),
        _ = tokio::signal::ctrl_c() => None,
    };
    let Some(finished) = finished else {
        shop.close().await;
        eprintln!("stopped; run it again to go on");
        return Ok(ExitCode::from(130));
    };
    finished?;
    let head = shop.recount.store().head().await?;
    let report = Report::of(shop.read_model.pool(), &orders.source, orders.malformed.len(), head.get()).await?;
    if let (Some(cut), Some(csv)) = (arguments.cohort_cut, &arguments.csv) {
        cohort::write(shop.read_model.pool(), &orders.source, cut, csv).await?;
    }
    shop.close().await;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
        println!("{:.1} s, events in {}", start.elapsed().as_secs_f64(), arguments.store);
    }
    Ok(if orders.malformed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

//! An e-commerce platform on real orders: `cargo run -p shop`.
#![allow(unreachable_pub, reason = "in a program, `pub` is what modules show each other")]

mod analytics;
mod catalogue;
mod cdnow;
mod cohort;
mod customers;
mod fulfilment;
mod import;
mod inventory;
mod notification;
mod order;
mod payment;
mod progress;
mod report;
mod rule;
mod services;
mod shop;
mod stop;
mod tables;
mod telemetry;
mod user;
mod values;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use jiff::civil::Date;
use recount::redacted;

use cdnow::Orders;
use progress::Bars;
use report::Report;
use services::{ServiceOptions, ServicesOptions};
use shop::Shop;
use stop::Stop;
use telemetry::Telemetry;

/// Turns 69,659 real orders of the online shop CDNOW into events, read models and a report. Stop it at any point and run
/// it again: it goes on where it was, and nothing is counted twice.
///
/// Exit status: 0 if all is well, 2 if the file had malformed lines (the others are in) or an option is wrong, 1 if
/// something failed, 130 or 143 if it was stopped by Ctrl-C or SIGTERM.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// Where the events are kept: sqlite://FILE, postgres://HOST/DATABASE or memory://
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
    /// Serve /metrics and /health on this loopback address while the shop runs, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    /// Send traces to this OTLP endpoint, such as http://localhost:4318
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
}

#[derive(Subcommand)]
enum Task {
    /// Writes the catalogue of the shop's messages: JSON Schema files, and a page with everything, index.html
    Catalogue {
        /// Where to; made if it isn't there
        directory: PathBuf,
    },
    /// Runs the shop as six services, which talk through a broker, and lets orders flow
    Services(ServicesOptions),
    /// Runs one of the services
    Service(ServiceOptions),
}

#[tokio::main]
async fn main() -> ExitCode {
    match observed(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("shop: {}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

async fn observed(arguments: Arguments) -> Result<ExitCode> {
    let (name, metrics, otlp) = match &arguments.task {
        Some(Task::Service(options)) => (options.full_name(), &options.metrics, &options.otlp),
        Some(Task::Services(options)) => ("shop".to_owned(), &None, &options.otlp),
        _ => ("shop".to_owned(), &arguments.metrics, &arguments.otlp),
    };
    let mut telemetry = Telemetry::start(&name, metrics.as_deref(), otlp.as_deref())?;
    let outcome = run(arguments, &mut telemetry).await;
    telemetry.stop().await;
    outcome
}

async fn run(arguments: Arguments, telemetry: &mut Telemetry) -> Result<ExitCode> {
    match &arguments.task {
        Some(Task::Catalogue { directory }) => {
            catalogue::of_the_shop()?.write(directory)?;
            println!("{}", directory.join("index.html").display());
            return Ok(ExitCode::SUCCESS);
        }
        Some(Task::Services(options)) => return services::conduct(options).await,
        Some(Task::Service(options)) => return services::serve(options, telemetry).await,
        None => {}
    }
    let mut stop = Stop::listen()?;
    if let Some(csv) = &arguments.csv {
        check_output(csv)?;
    }
    let orders = Orders::read(&arguments.orders.clone().unwrap_or_else(all_orders))?;
    for malformed in &orders.malformed {
        eprintln!("{malformed}");
    }
    let mut shop = tokio::select! {
        shop = Shop::open(&arguments.store) => shop?,
        code = stop.asked() => return Ok(code),
    };
    if let Err(error) = telemetry.serve(&shop.recount).await {
        shop.close().await;
        return Err(error);
    }
    let bars = Bars::new(orders.rows.len(), &Shop::FOLLOWERS)?;
    let outcome = tokio::select! {
        outcome = serve(&mut shop, &orders, &arguments, &bars) => outcome,
        code = stop.asked() => {
            bars.clear();
            eprintln!("stopping; once more ends it at once");
            Ok(code)
        }
    };
    let stopped = tokio::select! {
        () = shop.close() => None,
        code = stop.asked() => Some(code),
    };
    let code = stopped.map_or(outcome, Ok)?;
    if code != ExitCode::SUCCESS && code != ExitCode::from(MALFORMED) {
        let outlook = if arguments.store.starts_with("memory:") {
            "what was in memory is gone"
        } else {
            "run it again, and it goes on where it was"
        };
        eprintln!("stopped; {outlook}");
    }
    Ok(code)
}

/// The file with all orders, which the shop comes with.
fn all_orders() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/data/cdnow-1997-1998.txt.gz").into()
}

/// The exit status when lines were left out.
const MALFORMED: u8 = 2;

/// Takes the orders in, and reports.
async fn serve(shop: &mut Shop, orders: &Orders, arguments: &Arguments, bars: &Bars) -> Result<ExitCode> {
    let start = Instant::now();
    let taken = shop.take_in(orders, bars).await;
    if taken.is_err() {
        bars.clear();
    }
    taken?;
    let tables = &shop.read_models;
    let report = Report::of(&shop.recount, tables, &orders.source, orders.malformed.len()).await?;
    if let (Some(cut), Some(csv)) = (arguments.cohort_cut, &arguments.csv) {
        cohort::write(tables, &orders.source, cut, csv).await?;
    }
    let text = if arguments.json {
        serde_json::to_string(&report)?
    } else {
        format!("{report}\n{:.1} s, events in {}", start.elapsed().as_secs_f64(), redacted(&arguments.store))
    };
    match writeln!(io::stdout(), "{text}") {
        // The reader of the pipe, such as `head`, has closed it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("can't write the report")?,
    }
    Ok(if orders.malformed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(MALFORMED) })
}

/// Checks the path of the CSV file before the import, so that a bad path doesn't fail only after it.
fn check_output(csv: &Path) -> Result<()> {
    let name = csv.display();
    if csv.is_dir() {
        bail!("can't write --csv {name}: it is a directory; name a file in it");
    }
    match csv.parent() {
        Some(directory) if !directory.as_os_str().is_empty() && !directory.is_dir() => {
            bail!("can't write --csv {name}: there is no directory {}; create it first", directory.display())
        }
        _ => Ok(()),
    }
}

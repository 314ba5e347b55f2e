//! What recount does per second, against its floors: `cargo run --release -p bench -- core`.
#![allow(unreachable_pub, reason = "in a program, `pub` is what modules show each other")]

mod batch;
mod brokers;
mod compile;
mod crates;
mod dispatch;
mod domain;
mod figures;
mod import;
mod keyed;
mod postgres;
mod process;
mod raw;
mod react;
mod replay;
mod resident;
mod rounds;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};

use figures::Figures;

#[derive(Parser)]
#[command(about = "Measures recount, and compares with the floors")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The core, the memory store and SQLite. Takes about three minutes; the exit status doesn't depend on the figures.
    Core {
        /// Also writes the figures to this file, as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Where the databases are made, to measure another disk [default: beside the build]
        #[arg(long, value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
        /// Measures only these parts.
        #[arg(long, value_name = "PART", value_delimiter = ',')]
        only: Vec<Part>,
    },
    /// recount on Postgres beside hand-written SQL and its peers, on the server that RECOUNT_TEST_POSTGRES names. Takes some ten minutes.
    Postgres {
        /// Also writes the ratios to this file, as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Measures only these, and leaves RESULTS.md alone.
        #[arg(long, value_name = "KEY", value_delimiter = ',', hide = true)]
        only: Vec<String>,
    },
    /// The brokers beside their raw clients, and messages from store to store, on the servers that the environment
    /// names; and the shop as six services. Takes some five minutes.
    Brokers {
        /// Also writes the ratios to this file, as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Measures only these parts.
        #[arg(long, value_name = "PART", value_delimiter = ',')]
        only: Vec<brokers::Part>,
    },
    /// Plays one turn for `postgres`.
    #[command(hide = true)]
    Side { side: postgres::Side, turn: String },
    /// Replays a file in a process of its own, whose memory nothing else has touched.
    #[command(hide = true)]
    ReplayFile { warm_up: PathBuf, events: PathBuf },
}

/// The parts of `core`, in the order in which they are measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Compile,
    Replay,
    Dispatch,
    React,
    Process,
    Keyed,
    Batch,
    Import,
    Telemetry,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().what {
        What::Core { json, directory, only } => core(json.as_deref(), directory, &only).await,
        What::Postgres { json, only } => postgres::measure(json.as_deref(), &only).await,
        What::Brokers { json, only } => brokers::measure(json.as_deref(), &only).await,
        What::Side { side, .. } => postgres::side(side).await,
        What::ReplayFile { warm_up, events } => replay::file(&warm_up, &events).await,
    }
}

async fn core(json: Option<&Path>, directory: Option<PathBuf>, only: &[Part]) -> Result<()> {
    let directory = match directory {
        Some(directory) => directory,
        None => beside_the_build()?,
    };
    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(directory)?;
    let scratch = scratch.path();
    let measured = |part| only.is_empty() || only.contains(&part);
    let mut figures = Figures::default();
    // Compile first: later figures then have no compiler and no flush to disk beside them.
    if measured(Part::Compile) {
        compile::measure(&mut figures, &scratch.join("compile"))?;
    }
    let shop = if measured(Part::Import) { Some(import::build()?) } else { None };
    if measured(Part::Replay) {
        replay::measure_memory(&mut figures).await?;
        replay::measure_sqlite(&mut figures, scratch).await?;
    }
    if measured(Part::Dispatch) {
        dispatch::measure_memory(&mut figures).await?;
        dispatch::measure_sqlite(&mut figures, &scratch.join("dispatch.db")).await?;
    }
    if measured(Part::React) {
        react::measure_memory(&mut figures).await?;
    }
    if measured(Part::Process) {
        process::measure_memory(&mut figures).await?;
    }
    if measured(Part::Keyed) {
        keyed::measure(&mut figures, &scratch.join("keyed.db")).await?;
    }
    if measured(Part::Batch) {
        batch::measure(&mut figures, scratch).await?;
    }
    if let Some(shop) = shop {
        import::measure(&mut figures, &shop, &scratch.join("shop.db"))?;
    }
    if measured(Part::Telemetry) {
        // The recorder that it installs stays for the rest of the process.
        dispatch::measure_telemetry(&mut figures).await?;
    }
    println!("\n{figures}");
    if let Some(json) = json {
        figures.write(json)?;
    }
    Ok(())
}

/// The build's target directory: on a disk, which the directory for temporary files may not be.
fn beside_the_build() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("the program is in no target directory")?;
    Ok(target.to_owned())
}

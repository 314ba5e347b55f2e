//! `cargo xtask …`: everything that a contributor or CI runs.

mod bench;
mod mutants;
mod programs;
mod prose;
mod run;

mod test;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use bench::Bench;
use run::cargo;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What contributors and CI run")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every test suite, beside servers of its own: Postgres, NATS, RabbitMQ, Kafka, Pulsar, and servers that stand in for
    /// SQS, SNS and Pub/Sub. `RECOUNT_TEST_POSTGRES`, `_NATS`, `_AMQP`, `_KAFKA`, `_PULSAR`, `_SQS` and `_SNS` name others.
    Test {
        /// Only the tests that run on the newest version of Postgres.
        #[arg(long)]
        newest: bool,
        /// The tests to run, as cargo's options; everything unless told otherwise.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Checks format, the locks of the examples, lints and docs; warnings fail.
    Lint,
    /// Runs the examples as a newcomer would.
    Examples,
    /// Changes locked events in every way, and says which changes compile.
    Mutations {
        /// Also writes the outcomes to this file, as a JSON array.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Builds the sources with deliberate defects of processes, and demands that the tests find each.
    Mutants {
        /// Only the mutant of this name.
        #[arg(long)]
        only: Option<String>,
    },
    /// Measures, and compares with the floors.
    #[command(subcommand)]
    Bench(Bench),
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Test { newest, options } => test::test(newest, &options),
        Task::Lint => lint(),
        Task::Examples => examples(),
        Task::Mutations { json } => mutations(json),
        Task::Mutants { only } => mutants::run(only.as_deref()),
        Task::Bench(bench) => bench.run(),
    }
}

fn lint() -> Result<()> {
    prose::check()?;
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["fmt", "--all", "--check", "--manifest-path", "bench/peers/Cargo.toml"])?;
    // Of the same features as the tests, so that nothing is built twice. The program is built for its test.
    let built = ["--workspace", "--features", test::OPTIONAL];
    cargo(&[&["test", "--no-run", "--test", "schema"], &built[..]].concat())?;
    for package in ["bank", "shop"] {
        let check = [&["recount", "schema", "check", "--package", package, "--"], &built[..]].concat();
        run::beside("cargo-recount", &check)?;
    }
    cargo(&[&["clippy"], &built[..], &["--all-targets", "--", "-D", "warnings"]].concat())?;
    // A user takes one feature, the workspace all.
    for features in ["", "memory", "sqlite", "postgres", "messaging", "metrics"] {
        let only = ["-p", "recount", "--no-default-features", "--features", features, "--lib"];
        cargo(&[&["clippy"], &only[..], &["--", "-D", "warnings"]].concat())?;
    }
    run::cargo_with(&[&["doc", "--no-deps"], &built[..]].concat(), &[("RUSTDOCFLAGS", "-D warnings".to_owned())])
}

fn examples() -> Result<()> {
    cargo(&["run", "-p", "bank"])?;
    let store = std::env::temp_dir().join(format!("recount-shop-{}", std::process::id()));
    std::fs::create_dir_all(&store)?;
    let url = format!("sqlite://{}", store.join("shop.db").display());
    let first = cargo(&["run", "-p", "shop", "--", "--store", &url]);
    // The second run finds everything done.
    let again = first.and_then(|()| cargo(&["run", "-p", "shop", "--", "--store", &url, "--json"]));
    std::fs::remove_dir_all(&store)?;
    again
}

fn mutations(json: Option<PathBuf>) -> Result<()> {
    let file = json.map(std::path::absolute).transpose()?.map(|file| file.display().to_string());
    let environment: Vec<_> = file.into_iter().map(|file| ("RECOUNT_MUTATIONS_JSON", file)).collect();
    run::cargo_with(&["test", "-p", "recount-macros-suite", "--test", "mutations"], &environment)
}

//! `cargo xtask …`: everything that a contributor or CI runs.

mod postgres;
mod run;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use postgres::Postgres;
use run::cargo;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What contributors and CI run")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every test suite, beside a Postgres of its own unless RECOUNT_TEST_POSTGRES names one.
    Test {
        /// What to test, as cargo's options; everything unless told otherwise.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Checks format, lints and docs; warnings fail.
    Lint,
    /// Runs the examples as a newcomer would.
    Examples,
    /// Changes locked events in every way, and says which changes compile.
    Mutations {
        /// Also writes the outcomes to this file, as a JSON array.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Measures, and compares with the floors.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// The core, the memory store and SQLite.
    Core {
        /// Also writes the figures to this file, as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Test { options } => test(&options),
        Task::Lint => lint(),
        Task::Examples => examples(),
        Task::Mutations { json } => mutations(json),
        Task::Bench(Bench::Core { json }) => bench_core(json),
    }
}

/// `cargo test` is what every machine has; nextest is used where it is found.
fn test(options: &[String]) -> Result<()> {
    let server = Postgres::start()?;
    let environment = server.environment();
    let everything = options.is_empty();
    let options: Vec<&str> =
        if everything { vec!["--workspace", "--no-fail-fast"] } else { options.iter().map(String::as_str).collect() };
    let cargo = |task: &[&str]| run::cargo_with(&[task, &options].concat(), &environment);
    if !run::succeeds("cargo", &["nextest", "--version"]) {
        return cargo(&["test"]);
    }
    cargo(&["nextest", "run"])?;
    if everything { run::cargo_with(&["test", "--workspace", "--doc"], &environment) } else { Ok(()) }
}

fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    run::cargo_with(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])
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

fn bench_core(json: Option<PathBuf>) -> Result<()> {
    let mut arguments = vec!["run", "--release", "-p", "bench", "--", "core"];
    let file = json.map(|file| file.display().to_string());
    if let Some(file) = &file {
        arguments.extend(["--json", file]);
    }
    cargo(&arguments)
}

fn mutations(json: Option<PathBuf>) -> Result<()> {
    let file = json.map(std::path::absolute).transpose()?.map(|file| file.display().to_string());
    let environment: Vec<_> = file.as_deref().map(|file| ("RECOUNT_MUTATIONS_JSON", file)).into_iter().collect();
    run::cargo_with(&["test", "-p", "recount-macros-suite", "--test", "mutations"], &environment)
}

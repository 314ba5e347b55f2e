//! `cargo recount`: the lock of event schemas, from the command line.
//!
//! Without it, `RECOUNT_SCHEMA=lock cargo test event_schema_of_` has the same effect as `cargo recount schema lock`,
//! once there is a lock file to write to.

mod schema;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command of recount.
#[derive(Parser)]
#[command(bin_name = "cargo", version)]
enum Cargo {
    /// Event sourcing that stays readable.
    #[command(subcommand, version)]
    Recount(Task),
}

#[derive(Subcommand)]
enum Task {
    /// The lock of event schemas.
    #[command(subcommand)]
    Schema(schema::Task),
}

fn main() -> ExitCode {
    let Cargo::Recount(Task::Schema(task)) = Cargo::parse();
    match schema::run(&task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cargo recount: {error:#}");
            ExitCode::from(2)
        }
    }
}

//! `recount`: shows and controls projections, processes, dead letters and services, from the command line.

mod dead_letter;
mod describe;
mod model;
mod process;
mod projection;
mod report;

use std::process::ExitCode;

use clap::Parser;

/// Shows how far projections, processes and messages on recount are, and steers them.
///
/// Exit status: 0 if it is done, 1 if the answer is no, such as an unknown name, 2 if it can't be done, such as a store that
/// can't be reached.
#[derive(Parser)]
#[command(name = "recount", version)]
enum Recount {
    /// Projections: how far they are, and starting them over.
    #[command(subcommand)]
    Projection(projection::Task),
    /// Processes: their instances, their timers, and orders to instances that can't go on.
    #[command(subcommand)]
    Process(process::Task),
    /// Messages between services that are set aside: dead letters, and messages that wait for a retry.
    #[command(subcommand)]
    DeadLetter(dead_letter::Task),
    /// Services at a message broker: their presence and health, their topics, and where a type of message goes.
    Describe(describe::Task),
}

/// How a command ended without an answer.
enum Failure {
    /// The answer is no.
    No(String),
    /// It can't be done.
    Unable(String),
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::from_error(&error)
    }
}

impl Failure {
    fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Self::Unable(text)
    }
}

fn main() -> ExitCode {
    let command = Recount::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.map_err(Failure::from).and_then(|runtime| {
        runtime.block_on(async {
            match &command {
                Recount::Projection(task) => projection::run(task).await,
                Recount::Process(task) => process::run(task).await,
                Recount::DeadLetter(task) => dead_letter::run(task).await,
                Recount::Describe(task) => describe::run(task).await,
            }
        })
    });
    let (text, code) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::No(text)) => (text, 1),
        Err(Failure::Unable(text)) => (text, 2),
    };
    eprintln!("recount: {text}");
    ExitCode::from(code)
}

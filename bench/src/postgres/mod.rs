//! recount on Postgres, beside hand-written SQL and its peers, on one server: `cargo xtask bench postgres`.

mod arena;
mod chart;
mod condition;
mod contender;
mod keyed;
mod live;
mod ours;
mod process;
mod raw;
mod results;
mod scenarios;
mod server;
mod totals;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use arena::Arena;
use results::Results;
use server::Server;

/// Who plays in a process of this program.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Side {
    Raw,
    Ours,
}

/// Somebody's turn, in this process.
pub async fn side(side: Side) -> Result<()> {
    match side {
        Side::Raw => protocol::serve(raw::run).await,
        Side::Ours => protocol::serve(ours::run).await,
    }
}

/// Measures everything, or only these keys: then RESULTS.md stays as it is.
pub async fn measure(json: Option<&Path>, only: &[String]) -> Result<()> {
    let peers = build_peers()?;
    let server = Server::find().await?;
    let mut results = Results::new(&server.version, only);
    let mut arena = Arena::new(server, contender::contenders(&peers)?);
    scenarios::play(&mut arena, &mut results).await?;
    println!("\n{}", results.figures);
    if let Some(json) = json {
        results.figures.write_as(json, "ratios")?;
    }
    if only.is_empty() {
        results.write(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    }
    Ok(())
}

/// Builds the peers, beside the build of this program; returns where they are.
fn build_peers() -> Result<PathBuf> {
    let target = crate::beside_the_build()?.join("peers");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cargo can't be started")?;
    ensure!(status.success(), "the peers can't be built: {status}");
    Ok(target.join("release"))
}

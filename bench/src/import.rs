//! The whole import of the shop example, as its user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::figures::{Figures, Floor};

/// Builds the shop in release and returns where it is.
pub fn build() -> Result<PathBuf> {
    let output = Command::new(cargo())
        .args(["build", "--release", "-p", "shop", "--message-format=json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo can't be started")?;
    ensure!(output.status.success(), "the shop can't be built: {}", output.status);
    let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    messages
        .filter_map(|message: Value| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .next_back()
        .context("cargo built no program")
}

/// Imports into a fresh file, and checks that everything arrived.
pub fn measure(figures: &mut Figures, shop: &Path, file: &Path) -> Result<()> {
    let started = Instant::now();
    let output = Command::new(shop)
        .args(["--json", "--store", &format!("sqlite://{}", file.display())])
        .stderr(Stdio::inherit())
        .output()?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(output.status.success(), "the import failed: {}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let orders = report["orders"].as_u64().context("the report has no orders")?;
    ensure!(orders == 69_659, "{orders} orders arrived instead of 69659");
    let size = std::fs::metadata(file)?.len() as f64 / 1e6;
    let detail = format!("{orders} orders, with the report; the file has {size:.0} MB");
    figures.add("import_seconds", seconds, Floor::Below(60.0), detail);
    Ok(())
}

/// The cargo that runs this, or the one in the path.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

//! The shop as six services, as its user runs it: how fast it answers, and how many orders it accepts under kills.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::figures::{Figures, Floor};
use crate::import::build;

/// How many orders are placed each way, for the times of the answers.
const COMPARED: &str = "100";
/// How many orders are placed under kills, and for how many seconds a service is killed each second.
const ORDERS: &str = "2000";
const SECONDS: &str = "20";
/// The seed of the kills.
const SEED: &str = "1";

pub fn measure(figures: &mut Figures, broker: &str) -> Result<()> {
    let shop = build()?;
    let compared = run(&shop, broker, &["--compare", COMPARED])?;
    let number = |report: &Value, name: &str| report[name].as_f64().with_context(|| format!("no {name}: {report}"));
    let median = |way: &str| compared[way]["p50_ms"].as_f64().with_context(|| format!("no times {way}: {compared}"));
    let detail = format!(
        "{COMPARED} orders each way; answer by events after {:.2} ms, by requests after {:.2} ms (medians)",
        median("events")?,
        median("request_reply")?
    );
    let ratio = number(&compared, "events_vs_request_reply")?;
    figures.add("events_vs_request_reply", ratio, Floor::AtMost(0.5), detail);

    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(crate::beside_the_build()?)?;
    let stores = scratch.path().display().to_string();
    let chaos = ["--orders-limit", ORDERS, "--chaos", SECONDS, "--seed", SEED, "--check", "--stores", &stores];
    let checked = run(&shop, broker, &chaos)?;
    let kills: u64 =
        checked["kills"].as_object().into_iter().flat_map(|it| it.values()).filter_map(Value::as_u64).sum();
    let detail = format!(
        "{} orders over {SECONDS} s, {kills} kills; {} lost, {} doubled, books agree: {}",
        checked["orders"], checked["lost"], checked["doubled"], checked["books_agree"]
    );
    figures.add("accepted_percent", number(&checked, "accepted_percent")?, Floor::AtLeast(99.9), detail);
    Ok(())
}

/// Runs the services under a name of their own, and returns their report.
fn run(shop: &Path, broker: &str, options: &[&str]) -> Result<Value> {
    // Short, because the names of topics are made from it: the random end of an id.
    let id = uuid::Uuid::now_v7().simple().to_string();
    let name = format!("shop-{}", &id[24..]);
    let output = Command::new(shop)
        .args(["services", "--json", "--broker", broker, "--name", &name])
        .args(options)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} can't be started", shop.display()))?;
    ensure!(output.status.success(), "the shop failed with {options:?}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("no report with {options:?}"))
}

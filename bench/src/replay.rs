//! Replays: 200,000 events through a projection with its runner.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use recount::memory::MemoryStore;
use recount::sqlite::SqliteStore;
use recount::{Fold, InMemory, Recount};
use serde::{Deserialize, Serialize};

use crate::domain::{TillEvent, fill};
use crate::figures::{Figures, Floor};
use crate::resident::{Watch, resident};
use crate::rounds::Rounds;

const EVENTS: u32 = 200_000;
const WARM_UP: u32 = 5_000;
const ROUNDS: usize = 5;

pub async fn measure_memory(figures: &mut Figures) -> Result<()> {
    let recount = Recount::new(MemoryStore::new());
    fill(&**recount.store(), EVENTS).await?;
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        rounds.push(replay(&recount, EVENTS).await?);
    }
    figures.add("replay_memory_per_s", rounds.median(), Floor::AtLeast(200_000.0), rounds.spread(0));
    Ok(())
}

/// Writes the events, then replays them in another process.
pub async fn measure_sqlite(figures: &mut Figures, scratch: &Path) -> Result<()> {
    let files = [(scratch.join("warm-up.db"), WARM_UP), (scratch.join("events.db"), EVENTS)];
    for (file, events) in &files {
        let recount = Recount::new(SqliteStore::open(file).await?);
        fill(&**recount.store(), *events).await?;
        recount.close().await;
    }
    let output = Command::new(std::env::current_exe()?)
        .arg("replay-file")
        .args(files.iter().map(|(file, _)| file))
        .stderr(std::process::Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the replay failed: {}", output.status);
    let replayed: Replayed = serde_json::from_slice(&output.stdout).context("the replay said something else")?;
    let mut rounds = Rounds::default();
    replayed.per_second.iter().for_each(|rate| rounds.push(*rate));
    figures.add("replay_sqlite_per_s", rounds.median(), Floor::AtLeast(100_000.0), rounds.spread(0));
    let detail = format!("from {:.0} MB, peak of the first replay", replayed.resident_mb);
    figures.add("replay_rss_growth_mb", replayed.growth_mb, Floor::Within(20.0), detail);
    Ok(())
}

#[derive(Deserialize, Serialize)]
struct Replayed {
    per_second: Vec<f64>,
    /// Resident memory before the first replay.
    resident_mb: f64,
    /// How much more it was at most while that replay ran.
    growth_mb: f64,
}

/// The other process: warms up with a few events of another file, and prints what it found.
pub async fn file(warm_up: &Path, events: &Path) -> Result<()> {
    let recount = Recount::new(SqliteStore::open(warm_up).await?);
    replay(&recount, WARM_UP).await?;
    recount.close().await;
    let recount = Recount::new(SqliteStore::open(events).await?);
    let resident_mb = resident()?;
    let watch = Watch::start();
    let mut per_second = vec![replay(&recount, EVENTS).await?];
    let growth_mb = watch.peak()? - resident_mb;
    for _ in 1..ROUNDS {
        per_second.push(replay(&recount, EVENTS).await?);
    }
    recount.close().await;
    println!("{}", serde_json::to_string(&Replayed { per_second, resident_mb, growth_mb })?);
    Ok(())
}

/// Replays everything into a new read model; returns events per second.
async fn replay(recount: &Recount, events: u32) -> Result<f64> {
    let head = recount.store().head().await?;
    let started = Instant::now();
    let sales = Arc::new(Fold::new((0, 0), |(count, cents): &mut (u32, i64), event: &TillEvent, _| {
        *count += 1;
        match event {
            TillEvent::Sold { cents: more, .. } => *cents += more,
            TillEvent::Closed { .. } => *cents = 0,
        }
    }));
    let projections = recount.consumers().projection(Arc::clone(&sales), InMemory::new()).start();
    projections.wait_for(head).await.map_err(|stopped| anyhow!("the projection stopped: {:?}", stopped.status))?;
    let seconds = started.elapsed().as_secs_f64();
    projections.shutdown().await;
    let seen = sales.state().0;
    ensure!(seen == events, "{seen} of {events} events were replayed");
    Ok(f64::from(events) / seconds)
}

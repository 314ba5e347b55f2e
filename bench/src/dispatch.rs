//! Commands: how many at once in SQLite, and what one costs in memory.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use metrics_exporter_prometheus::PrometheusBuilder;
use recount::Recount;
use recount::memory::MemoryStore;
use recount::sqlite::SqliteStore;

use crate::domain::Sell;
use crate::figures::{Figures, Floor};
use crate::rounds::Rounds;

/// How long each number of dispatchers runs before it is the others' turn.
const TURN: Duration = Duration::from_millis(800);
const ROUNDS: usize = 7;

/// How many commands a round in memory has.
const COMMANDS: u32 = 50_000;

/// Microseconds per command of one dispatcher on a warm aggregate.
async fn one_by_one(recount: &Recount, commands: u32) -> Result<f64> {
    let started = Instant::now();
    for number in 0..commands {
        let _ = recount.dispatch(Sell { till: "main".to_owned(), number }).await?;
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(commands))
}

/// A command in memory with metrics recorded over one without, turn by turn.
pub async fn measure_telemetry(figures: &mut Figures) -> Result<()> {
    // The median over many pairs of short turns: other work on the machine hits both of a pair, or few pairs.
    const TURN: u32 = 5_000;
    const PAIRS: usize = 151;
    let without = Recount::new(MemoryStore::new());
    let _recorder = PrometheusBuilder::new().install_recorder()?;
    let with = Recount::new(MemoryStore::new());
    let (mut off, mut on, mut costs) = (Rounds::default(), Rounds::default(), Rounds::default());
    for pair in 0..=PAIRS {
        let (unrecorded, recorded) = if pair % 2 == 0 {
            (one_by_one(&without, TURN).await?, one_by_one(&with, TURN).await?)
        } else {
            let recorded = one_by_one(&with, TURN).await?;
            (one_by_one(&without, TURN).await?, recorded)
        };
        if pair > 0 {
            off.push(unrecorded);
            on.push(recorded);
            costs.push((recorded / unrecorded - 1.0) * 100.0);
        }
    }
    let detail = format!("with metrics {:.2} µs, without {:.2} µs; {}", on.median(), off.median(), costs.spread(1));
    figures.add("telemetry_cost_percent", costs.median(), Floor::AtMost(5.0), detail);
    Ok(())
}

/// Many dispatchers over one, each with an aggregate of its own, turn by turn on one durable file.
pub async fn measure_sqlite(figures: &mut Figures, file: &Path) -> Result<()> {
    let recount = Recount::new(SqliteStore::open(file).await?);
    dispatchers(&recount, 256).await?;
    let (mut one, mut many) =
        (Rounds::default(), [(32, Rounds::default(), Rounds::default()), (256, Rounds::default(), Rounds::default())]);
    for _ in 0..ROUNDS {
        let alone = dispatchers(&recount, 1).await?;
        one.push(alone);
        for (count, rates, ratios) in &mut many {
            let rate = dispatchers(&recount, *count).await?;
            rates.push(rate);
            ratios.push(rate / alone);
        }
    }
    recount.close().await;
    for (name, floor, (count, rates, ratios)) in [("sqlite_32_vs_1", 5.0, &many[0]), ("sqlite_256_vs_1", 8.0, &many[1])]
    {
        let detail = format!(
            "{count} dispatchers {:.0} commands/s, one {:.0}; {}",
            rates.median(),
            one.median(),
            ratios.spread(1)
        );
        figures.add(name, ratios.median(), Floor::AtLeast(floor), detail);
    }
    Ok(())
}

/// Commands per second of this many dispatchers.
async fn dispatchers(recount: &Recount, count: usize) -> Result<f64> {
    let started = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|task| {
            let recount = recount.clone();
            tokio::spawn(async move {
                let mut number = 0;
                while started.elapsed() < TURN {
                    let _ = recount.dispatch(Sell { till: format!("{task}"), number }).await?;
                    number += 1;
                }
                Ok::<_, anyhow::Error>(number)
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await??;
    }
    Ok(f64::from(total) / started.elapsed().as_secs_f64())
}

/// A command on a warm aggregate, one after the other.
pub async fn measure_memory(figures: &mut Figures) -> Result<()> {
    let recount = Recount::new(MemoryStore::new());
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        let microseconds = one_by_one(&recount, COMMANDS).await?;
        // The first one warms up.
        if round > 0 {
            rounds.push(microseconds);
        }
    }
    let detail = format!("{COMMANDS} commands a round; {}", rounds.spread(2));
    figures.add("memory_command_us", rounds.median(), Floor::Below(5.0), detail);
    Ok(())
}

//! Commands: how many at once in SQLite, and what one costs in memory.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use recount::Recount;
use recount::memory::MemoryStore;
use recount::sqlite::SqliteStore;

use crate::domain::Sell;
use crate::figures::{Figures, Floor};
use crate::rounds::Rounds;

/// How long each number of dispatchers runs before it is the others' turn.
const TURN: Duration = Duration::from_millis(800);
const ROUNDS: usize = 7;

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
    const COMMANDS: u32 = 50_000;
    let recount = Recount::new(MemoryStore::new());
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        let started = Instant::now();
        for number in 0..COMMANDS {
            let _ = recount.dispatch(Sell { till: "main".to_owned(), number }).await?;
        }
        // The first one warms up.
        if round > 0 {
            rounds.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(COMMANDS));
        }
    }
    let detail = format!("{COMMANDS} commands a round; {}", rounds.spread(2));
    figures.add("memory_command_us", rounds.median(), Floor::Below(5.0), detail);
    Ok(())
}

//! The cost of idempotency keys: 32 dispatchers with keys against 32 without, in alternation on one store.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use recount::memory::MemoryStore;
use recount::sqlite::SqliteStore;
use recount::{IdempotencyKey, Recount};

use crate::domain::Sell;
use crate::figures::{Figures, Floor};
use crate::rounds::Rounds;

const DISPATCHERS: usize = 32;
/// The time that one side runs before the other side runs.
const TURN: Duration = Duration::from_millis(400);
const ROUNDS: usize = 7;

/// A counter that makes all keys of the process distinct.
static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

/// The aggregates of the dispatchers.
#[derive(Clone, Copy)]
pub enum Tills {
    /// Each dispatcher has its own aggregate.
    Own,
    /// All dispatchers have the same aggregate, so that their commands share appends.
    Hot,
}

pub async fn measure(figures: &mut Figures, file: &Path) -> Result<()> {
    let sqlite = Recount::new(SqliteStore::open(file).await?);
    compare(figures, "keyed_32_vs_unkeyed_sqlite", 0.8, &sqlite, Tills::Own).await?;
    compare(figures, "keyed_hot_32_vs_unkeyed_sqlite", 0.8, &sqlite, Tills::Hot).await?;
    sqlite.close().await;
    let memory = Recount::new(MemoryStore::new());
    compare(figures, "keyed_32_vs_unkeyed_memory", 0.7, &memory, Tills::Own).await?;
    compare(figures, "keyed_hot_32_vs_unkeyed_memory", 0.7, &memory, Tills::Hot).await
}

/// Commands with keys over commands without, on one store.
pub async fn compare(
    figures: &mut Figures,
    name: &'static str,
    floor: f64,
    recount: &Recount,
    tills: Tills,
) -> Result<()> {
    let (mut keyed, mut unkeyed, mut ratios) = (Rounds::default(), Rounds::default(), Rounds::default());
    for round in 0..=ROUNDS {
        let without = turn(recount, tills, false).await?;
        let with = turn(recount, tills, true).await?;
        // The first round is a warm-up.
        if round > 0 {
            keyed.push(with);
            unkeyed.push(without);
            ratios.push(with / without);
        }
    }
    let (with, without) = (keyed.median(), unkeyed.median());
    let detail = format!("with keys {with:.0} commands/s, without {without:.0}; {}", ratios.spread(2));
    figures.add(name, ratios.median(), Floor::AtLeast(floor), detail);
    Ok(())
}

/// Commands per second of all dispatchers.
async fn turn(recount: &Recount, tills: Tills, keyed: bool) -> Result<f64> {
    let started = Instant::now();
    let tasks: Vec<_> = (0..DISPATCHERS)
        .map(|task| {
            let recount = recount.clone();
            let till = match tills {
                Tills::Own => format!("{task}"),
                Tills::Hot => "hot".to_owned(),
            };
            tokio::spawn(async move {
                let mut number = 0;
                while started.elapsed() < TURN {
                    let sale = recount.dispatch(Sell { till: till.clone(), number });
                    let _ = if keyed {
                        let key = IdempotencyKey::new(format!("sale/{}", NEXT_KEY.fetch_add(1, Ordering::Relaxed)))?;
                        sale.idempotency_key(key).await?
                    } else {
                        sale.await?
                    };
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

//! Steps of processes on Postgres, beside plain commands.

use std::time::{Duration, Instant};

use anyhow::Result;
use recount::Recount;
use recount::postgres::PostgresStore;

use super::arena::Arena;
use super::results::Results;
use crate::domain::Sell;
use crate::figures::Floor;
use crate::process::{start, steps};
use crate::rounds::Rounds;

const KEY: &str = "process_steps_vs_two_commands";
const DATABASE: &str = "bench_process";
/// Instances, and clients of the plain commands: as many are at work at once.
const AT_ONCE: u32 = 32;
const INPUTS: u32 = 200;
const TURN: Duration = Duration::from_millis(800);
const ROUNDS: usize = 5;

pub async fn play(arena: &mut Arena, results: &mut Results) -> Result<()> {
    if !results.wants(&[KEY]) {
        return Ok(());
    }
    arena.server.create(DATABASE).await?;
    let recount = Recount::new(PostgresStore::open(&arena.server.url(DATABASE)?).await?);
    let running = start(&recount, AT_ONCE).await?;
    let (mut step_rates, mut pair_rates, mut ratios) = (Rounds::default(), Rounds::default(), Rounds::default());
    for round in 0..=ROUNDS {
        let pairs = pairs(&recount).await?;
        let steps = steps(&recount, &running, AT_ONCE, INPUTS).await?;
        // The first round is a warm-up.
        if round > 0 {
            step_rates.push(steps);
            pair_rates.push(pairs);
            ratios.push(steps / pairs);
        }
    }
    running.shutdown().await;
    let (steps, pairs) = (step_rates.median(), pair_rates.median());
    let detail = format!("{steps:.0} steps/s, {pairs:.0} pairs of commands/s; {}", ratios.spread(2));
    results.figures.add(KEY, ratios.median(), Floor::AtLeast(0.5), detail);
    recount.close().await;
    arena.server.drop(DATABASE).await
}

/// Pairs of plain commands per second, of 32 clients.
async fn pairs(recount: &Recount) -> Result<f64> {
    let started = Instant::now();
    let clients: Vec<_> = (0..AT_ONCE)
        .map(|client| {
            let recount = recount.clone();
            tokio::spawn(async move {
                let mut number = 0;
                while started.elapsed() < TURN {
                    let _ = recount.dispatch(Sell { till: format!("first-{client}"), number }).await?;
                    let _ = recount.dispatch(Sell { till: format!("second-{client}"), number }).await?;
                    number += 1;
                }
                Ok::<_, anyhow::Error>(number)
            })
        })
        .collect();
    let mut total = 0;
    for client in clients {
        total += client.await??;
    }
    Ok(f64::from(total) / started.elapsed().as_secs_f64())
}

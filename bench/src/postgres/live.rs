//! From the return of an append in one process to the handler in another, with nothing else going on.

use anyhow::{Context, Result};
use protocol::{Scenario, Turn};

use super::arena::{Arena, Game, Past};
use super::contender::{Contender, OURS};
use super::results::Results;
use crate::figures::Floor;
use crate::rounds::Rounds;

const KEY: &str = "live_latency";
/// How many events are waited for.
const EVENTS: u32 = 60;
/// Subscriptions of some begin at the first event.
const NOTHING: Past = Past { name: "live", streams: 0, length: 1 };

pub async fn play(arena: &mut Arena, results: &mut Results) -> Result<()> {
    if !results.wants(&[KEY]) {
        return Ok(());
    }
    let mut cells = Vec::new();
    for side in arena.only(|side| [OURS, "disintegrate", "evento"].contains(&side.name)) {
        let waits = waits(arena, &side).await?;
        let median = waits.median();
        println!("  live: {} {median:.0} µs, {}", side.name, waits.spread(0));
        if side.name == OURS {
            // The handler may well be faster than the answer to who appended.
            let ratio = 2000.0 / median.max(10.0);
            let detail = format!("p50 {median:.0} µs of {EVENTS} events");
            results.figures.add(KEY, ratio, Floor::AtLeast(1.0), detail);
        }
        cells.push((side.name, format!("{:.2} ms", median / 1000.0)));
    }
    results.cells("live: append returned → handler, other process, p50", cells);
    Ok(())
}

/// Microseconds from each append to its handler.
async fn waits(arena: &mut Arena, side: &Contender) -> Result<Rounds> {
    let game = Game { scenario: Scenario::Listen, clients: 1, seconds: 0.0, rounds: 1, past: NOTHING };
    let turn = Turn { streams: EVENTS, ..arena.turn(side, &game).await? };
    let listener = side.start(&turn)?.go()?;
    let announcer = side.start(&Turn { scenario: Scenario::Announce, ..turn })?.go()?;
    let (appended, heard) = (announcer.answer()?, listener.answer()?);
    let (appended, heard) = (appended.context("no way to append")?, heard.context("no way to listen")?);
    let mut waits = Rounds::default();
    for (appended, heard) in appended.times.iter().zip(&heard.times) {
        waits.push(*heard as f64 - *appended as f64);
    }
    Ok(waits)
}

//! What is measured, in order.

use anyhow::{Context, Result};
use protocol::Scenario;

use super::arena::{Arena, Game, Past, Score, best_peer};
use super::contender::{Contender, OURS, RAW};
use super::results::Results;
use super::{chart, condition, keyed, live, process};
use crate::figures::Floor;

/// Streams with a hundred events each.
const HUNDREDS: Past = Past { name: "hundreds", streams: 320, length: 100 };
/// Many short ones, so many that rounds hardly meet one again.
const TENS: Past = Past { name: "tens", streams: 30_000, length: 10 };
/// A long one.
const LONG: Past = Past { name: "long", streams: 1, length: 10_000 };
/// Altogether 200,000 events.
const MANY: Past = Past { name: "many", streams: 200, length: 1000 };

const ROUNDS: usize = 5;

pub async fn play(arena: &mut Arena, results: &mut Results) -> Result<()> {
    one_command(arena, results).await?;
    concurrent_commands(arena, results).await?;
    history(arena, results).await?;
    batches(arena, results).await?;
    hot_stream(arena, results).await?;
    rehydrate(arena, results).await?;
    catch_up(arena, results).await?;
    live::play(arena, results).await?;
    memory(arena, results).await?;
    condition::play(arena, results).await?;
    keyed::play(arena, results).await?;
    process::play(arena, results).await?;
    if results.wants(&["chart"]) {
        results.chart = chart::measure(arena, HUNDREDS).await?;
    }
    Ok(())
}

fn game(scenario: Scenario, clients: usize, past: Past) -> Game {
    Game { scenario, clients, seconds: 0.8, rounds: ROUNDS, past }
}

pub fn find<'a>(scores: &'a [Score], name: &str) -> Result<&'a Score> {
    scores.iter().find(|score| score.name == name).with_context(|| format!("{name} was not measured"))
}

/// recount over this one.
fn compare(results: &mut Results, key: &'static str, floor: f64, ours: &Score, other: &Score) {
    let ratios = ours.over(other);
    let detail = format!("{:.0}/s, {} {:.0}/s; {}", ours.rate(), other.name, other.rate(), ratios.spread(2));
    results.figures.add(key, ratios.median(), Floor::AtLeast(floor), detail);
}

fn over_raw(results: &mut Results, key: &'static str, floor: f64, scores: &[Score]) -> Result<()> {
    compare(results, key, floor, find(scores, OURS)?, find(scores, RAW)?);
    Ok(())
}

fn over_peers(results: &mut Results, key: &'static str, floor: f64, scores: &[Score]) -> Result<()> {
    let best = best_peer(scores).context("no peer was measured")?;
    compare(results, key, floor, find(scores, OURS)?, best);
    Ok(())
}

async fn one_command(arena: &mut Arena, results: &mut Results) -> Result<()> {
    if !results.wants(&["command_1_vs_raw"]) {
        return Ok(());
    }
    let both = arena.only(|side| !side.is_peer());
    let cold = game(Scenario::Cold, 1, TENS);
    let scores = arena.everybody(&Game { rounds: 21, ..cold }, both).await?;
    over_raw(results, "command_1_vs_raw", 0.9, &scores)?;
    results.row("one client: load 10 events, append 1", "commands/s", &scores);
    let peers = arena.only(|side| side.name != RAW);
    let scores = arena.everybody(&Game { rounds: 3, ..game(Scenario::Commands, 1, HUNDREDS) }, peers).await?;
    results.latency("one client, new streams", &scores);
    Ok(())
}

/// The raw inserts of one row beside the commands of all others.
async fn concurrent_commands(arena: &mut Arena, results: &mut Results) -> Result<()> {
    for (clients, keys, floor) in [
        (32, ["commands_32_vs_raw_insert", "commands_32_vs_best_peer"].as_slice(), 2.2),
        (256, ["commands_256_vs_raw_insert"].as_slice(), 4.0),
    ] {
        if !results.wants(keys) {
            continue;
        }
        let commands = game(Scenario::Commands, clients, HUNDREDS);
        let sides = arena.contenders.iter().cloned().map(|side| with_raw(side, commands)).collect::<Vec<_>>();
        let scores = arena.play(&commands, &sides).await?;
        over_raw(results, keys[0], floor, &scores)?;
        if let Some(key) = keys.get(1) {
            over_peers(results, key, 5.0, &scores)?;
        }
        let title = format!("{clients} concurrent commands, distinct streams (raw: inserts)");
        results.row(&title, "commands/s", &scores);
    }
    Ok(())
}

/// By hand there are only inserts.
pub fn with_raw(side: Contender, commands: Game) -> (Contender, Game) {
    let scenario = if side.name == RAW { Scenario::Inserts } else { commands.scenario };
    (side, Game { scenario, ..commands })
}

async fn history(arena: &mut Arena, results: &mut Results) -> Result<()> {
    if !results.wants(&["history100_32_vs_best_peer"]) {
        return Ok(());
    }
    let sides = arena.only(|side| side.name != RAW);
    let scores = arena.everybody(&game(Scenario::History, 32, HUNDREDS), sides).await?;
    over_peers(results, "history100_32_vs_best_peer", 5.0, &scores)?;
    results.row("32 concurrent commands, 100 past events each", "commands/s", &scores);
    Ok(())
}

async fn batches(arena: &mut Arena, results: &mut Results) -> Result<()> {
    if !results.wants(&["batch100_vs_raw_unnest"]) {
        return Ok(());
    }
    let batches = game(Scenario::Batch, 1, HUNDREDS);
    let both = arena.only(|side| !side.is_peer());
    let scores = arena.everybody(&Game { rounds: 9, ..batches }, both).await?;
    over_raw(results, "batch100_vs_raw_unnest", 0.8, &scores)?;
    let mut all = scores;
    let peers = arena.only(Contender::is_peer);
    all.extend(arena.everybody(&Game { rounds: 3, ..batches }, peers).await?);
    results.row("appends of 100 events, one client", "events/s", &all);
    Ok(())
}

async fn hot_stream(arena: &mut Arena, results: &mut Results) -> Result<()> {
    let hot = Game { seconds: 1.0, rounds: 3, ..game(Scenario::Hot, 32, HUNDREDS) };
    let sides = arena.only(|side| side.name != RAW);
    if results.wants(&["hot_stream_32_vs_best_peer"]) {
        let scores = arena.everybody(&hot, sides.clone()).await?;
        over_peers(results, "hot_stream_32_vs_best_peer", 20.0, &scores)?;
        results.row("32 tasks on one stream, one process", "commands/s", &scores);
    }
    if results.wants(&["hot_stream_2x16_vs_best_peer"]) {
        let hot = Game { clients: 16, ..hot };
        let mut scores: Vec<Score> = Vec::new();
        for side in sides {
            let mut score = Score { name: side.name, is_peer: side.is_peer(), ..Score::default() };
            for _ in 0..hot.rounds {
                let turn = arena.turn(&side, &hot).await?;
                let players = [side.start(&turn)?, side.start(&turn)?];
                let mut rate = 0.0;
                for player in players.map(super::contender::Player::go) {
                    let answer = player?.answer()?.context("no answer")?;
                    rate += answer.units as f64 / answer.seconds;
                    score.conflicts += answer.conflicts;
                }
                score.rates.push(rate);
            }
            println!("  hot 2 × 16: {} {:.0}/s", score.name, score.rate());
            scores.push(score);
        }
        over_peers(results, "hot_stream_2x16_vs_best_peer", 3.0, &scores)?;
        results.row("the same from two processes, 16 tasks each", "commands/s", &scores);
    }
    Ok(())
}

async fn rehydrate(arena: &mut Arena, results: &mut Results) -> Result<()> {
    if !results.wants(&["rehydrate_10k_vs_raw"]) {
        return Ok(());
    }
    let load = game(Scenario::Rehydrate, 1, LONG);
    let both = arena.only(|side| !side.is_peer());
    let mut scores = arena.everybody(&Game { rounds: 7, ..load }, both).await?;
    over_raw(results, "rehydrate_10k_vs_raw", 0.75, &scores)?;
    let peers = arena.only(|side| ["cqrs-es", "disintegrate", "evento"].contains(&side.name));
    scores.extend(arena.everybody(&Game { rounds: 3, ..load }, peers).await?);
    results.row("loading a stream of 10,000 events", "events/s", &scores);
    Ok(())
}

async fn catch_up(arena: &mut Arena, results: &mut Results) -> Result<()> {
    let memory = Game { seconds: 4.0, ..game(Scenario::CatchUp, 1, MANY) };
    let peers = |side: &Contender| ["cqrs-es", "disintegrate", "evento"].contains(&side.name);
    if results.wants(&["catchup_200k_vs_raw_keyset"]) {
        let both = arena.only(|side| !side.is_peer());
        let mut scores = arena.everybody(&memory, both).await?;
        over_raw(results, "catchup_200k_vs_raw_keyset", 0.9, &scores)?;
        let peers = arena.only(peers);
        scores.extend(arena.everybody(&Game { rounds: 1, ..memory }, peers).await?);
        results.row("catch-up of 200,000 events, in memory", "events/s", &scores);
    }
    if results.wants(&["catchup_200k_tx_vs_best_peer"]) {
        let table = Game { scenario: Scenario::CatchUpTable, rounds: 2, ..memory };
        let sides = arena.only(|side| side.name == OURS || peers(side));
        let scores = arena.everybody(&table, sides).await?;
        over_peers(results, "catchup_200k_tx_vs_best_peer", 20.0, &scores)?;
        results.row("catch-up of 200,000 events, into a table", "events/s", &scores);
    }
    Ok(())
}

async fn memory(arena: &mut Arena, results: &mut Results) -> Result<()> {
    if !results.wants(&["memory_32_vs_best_peer"]) {
        return Ok(());
    }
    let sides = arena.only(|side| [OURS, "cqrs-es"].contains(&side.name));
    let scores = arena.everybody(&game(Scenario::Memory, 32, HUNDREDS), sides).await?;
    over_peers(results, "memory_32_vs_best_peer", 2.0, &scores)?;
    results.row("32 tasks, store in memory", "commands/s", &scores);
    Ok(())
}

//! The question and the answer.

use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What the process says when it could start at once.
pub const READY: &str = "ready";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Makes the tables, and `streams` streams of `length` events each, called `past-0`, `past-1` …
    Fill,
    /// One command after the other, each client on streams of its own, which are new.
    Commands,
    /// The same on the streams that are there, each client on some of its own, again and again.
    History,
    /// The same, but each stream is met once only: nothing is known of it.
    Cold,
    /// All clients on one new stream.
    Hot,
    /// A hundred events at once, each client to a stream of its own.
    Batch,
    /// Appends of one event with a condition, each client on a tag of its own.
    Conditions,
    /// Inserts of one row: what a database does at most.
    Inserts,
    /// Loads the first stream that is there, with all of its events.
    Rehydrate,
    /// All events through a handler that counts in memory.
    CatchUp,
    /// All events through a handler that writes to a table.
    CatchUpTable,
    /// Handles `streams` events that another process appends, and says when.
    Listen,
    /// Appends `streams` events with pauses, and says when each was there.
    Announce,
    /// Commands on a store in memory.
    Memory,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turn {
    pub scenario: Scenario,
    pub url: String,
    pub clients: usize,
    pub seconds: f64,
    /// Tells new streams from those of earlier turns.
    pub turn: u32,
    /// Whether snapshots are on, where they are a choice.
    pub snapshots: bool,
    pub streams: u32,
    pub length: u32,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Commands or events done.
    pub units: u64,
    pub seconds: f64,
    /// Half of the operations took no longer.
    pub median_us: f64,
    /// How often something was tried again.
    pub conflicts: u64,
    /// Microseconds since 1970, of each event.
    pub times: Vec<u64>,
}

/// Reads the turn, has it done and tells the answer. No answer: there is no way to do it.
pub async fn serve<F: Future<Output = Result<Option<Answer>>>>(work: impl FnOnce(Turn) -> F) -> Result<()> {
    let turn = std::env::args().next_back().context("a turn is missing")?;
    let answer = work(serde_json::from_str(&turn)?).await?;
    eprintln!("{}", serde_json::to_string(&answer)?);
    Ok(())
}

/// Says that everything is ready, and waits until it is our turn.
pub async fn go() -> Result<()> {
    eprintln!("{READY}");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

/// Microseconds since 1970, which processes of one machine agree on.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

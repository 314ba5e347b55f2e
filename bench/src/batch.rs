//! Appends of a hundred events to SQLite, over the same rows inserted by hand.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use recount::sqlite::SqliteStore;
use recount::{Append, Event, EventData, EventStore, ExpectedVersion, StreamId};

use crate::domain::sold;
use crate::figures::{Figures, Floor};
use crate::raw::Raw;
use crate::rounds::Rounds;

/// How many events one transaction takes.
pub const BATCH: u32 = 100;
/// How long each side runs before it is the other's turn.
const TURN: Duration = Duration::from_millis(500);
const ROUNDS: usize = 15;

pub async fn measure(figures: &mut Figures, scratch: &Path) -> Result<()> {
    let store = SqliteStore::open(scratch.join("batch.db")).await?;
    let mut raw = Raw::open(&scratch.join("raw.db")).await?;
    let (mut ours, mut theirs, mut ratios) = (Rounds::default(), Rounds::default(), Rounds::default());
    for round in 0..=ROUNDS {
        // Whoever comes second finds a warmer disk: they take turns at that, too.
        let (through, by_hand) = if round % 2 == 0 {
            let by_hand = raw.insert_for(TURN).await?;
            (append_for(&store, round).await?, by_hand)
        } else {
            (append_for(&store, round).await?, raw.insert_for(TURN).await?)
        };
        // The first one warms up.
        if round > 0 {
            ours.push(through);
            theirs.push(by_hand);
            ratios.push(through / by_hand);
        }
    }
    store.close().await;
    let detail = format!("{:.0} events/s, by hand {:.0}; {}", ours.median(), theirs.median(), ratios.spread(2));
    figures.add("sqlite_batch100_vs_raw", ratios.median(), Floor::AtLeast(0.7), detail);
    Ok(())
}

/// The events of one transaction, encoded as both sides write them.
pub fn batch() -> Result<Vec<EventData>> {
    Ok((0..BATCH).map(|number| sold(number).encode()).collect::<Result<_, _>>()?)
}

async fn append_for(store: &SqliteStore, round: usize) -> Result<f64> {
    let stream = StreamId::new("till", round.to_string())?;
    let (started, mut total) = (Instant::now(), 0);
    while started.elapsed() < TURN {
        store.append(Append::to(stream.clone(), ExpectedVersion::Any, batch()?)).await?;
        total += BATCH;
    }
    Ok(f64::from(total) / started.elapsed().as_secs_f64())
}

//! Reactions: commands per second that follow from events in memory.

use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use recount::memory::MemoryStore;
use recount::prelude::*;
use recount::{Append, EventStore, ExpectedVersion, StreamId};

use crate::domain::{Sell, Till};
use crate::figures::{Figures, Floor};
use crate::rounds::Rounds;

const STREAMS: u32 = 1000;
const EVENTS_PER_STREAM: u32 = 200;
const ROUNDS: usize = 5;

/// What the reaction hears of.
#[derive(Event, Clone, Debug)]
#[event(name = "basket")]
enum BasketEvent {
    Paid { number: u32 },
}

/// One command for each event, for a till of the basket's name.
struct Selling;

impl Reaction for Selling {
    type Event = BasketEvent;

    fn name(&self) -> &str {
        "selling"
    }

    async fn on(&self, event: &BasketEvent, recorded: &RecordedEvent) -> Result<Commands, BoxError> {
        let BasketEvent::Paid { number } = event;
        Ok(Commands::send(Sell { till: recorded.stream.id().to_owned(), number: *number }))
    }
}

pub async fn measure_memory(figures: &mut Figures) -> Result<()> {
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        rounds.push(round().await?);
    }
    figures.add("reaction_commands_per_s_memory", rounds.median(), Floor::AtLeast(100_000.0), rounds.spread(0));
    Ok(())
}

/// Commands per second of one reaction over a log that is there.
async fn round() -> Result<f64> {
    let store = MemoryStore::new();
    let mut last = None;
    for stream in 0..STREAMS {
        let stream = StreamId::new("basket", stream.to_string())?;
        let events = (0..EVENTS_PER_STREAM).map(|number| BasketEvent::Paid { number }.encode());
        let append = Append::to(stream, ExpectedVersion::NoStream, events.collect::<Result<_, _>>()?);
        last = Some(store.append(append).await?.position);
    }
    let recount = Recount::new(store);
    let started = Instant::now();
    let running = recount.consumers().reaction(Selling).start();
    running.wait_for(last.unwrap_or_default()).await.map_err(|stopped| anyhow!("it stopped: {:?}", stopped.status))?;
    let seconds = started.elapsed().as_secs_f64();
    running.shutdown().await;
    let till = recount.load::<Till>(&"0".to_owned()).at_version(u64::from(EVENTS_PER_STREAM)).await;
    ensure!(till.is_ok(), "commands are missing");
    Ok(f64::from(STREAMS * EVENTS_PER_STREAM) / seconds)
}

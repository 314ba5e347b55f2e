//! The domain that is measured: till receipts, with a payload of an ordinary size.

use std::convert::Infallible;

use anyhow::Result;
use recount::prelude::*;
use recount::{Append, EventStore, ExpectedVersion, Position, StreamId};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "till")]
pub enum TillEvent {
    Sold { article: String, pieces: u32, cents: i64, customer: String, note: Option<String> },
    Closed { cents: i64 },
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Till)]
pub struct Sell {
    #[command(id)]
    pub till: String,
    pub number: u32,
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "till", id = String, event = TillEvent, error = Infallible, commands(Sell))]
pub struct Till {
    cents: i64,
}

impl Apply for Till {
    fn apply(&mut self, event: &TillEvent) {
        match event {
            TillEvent::Sold { cents, .. } => self.cents += cents,
            TillEvent::Closed { .. } => self.cents = 0,
        }
    }
}

impl Handle<Sell> for Till {
    fn handle(&self, command: Sell) -> Result<Vec<TillEvent>, Infallible> {
        Ok(vec![sold(command.number)])
    }
}

/// A sale: some 150 bytes of JSON.
pub fn sold(number: u32) -> TillEvent {
    TillEvent::Sold {
        article: format!("article-{:06}", number % 5000),
        pieces: 1 + number % 7,
        cents: 995 + i64::from(number % 100),
        customer: format!("customer-{:08}", number % 20_000),
        note: Some("leave it with the neighbours if nobody opens".to_owned()),
    }
}

/// Fills the store with this many sales, in streams of a thousand, and returns the last position.
pub async fn fill(store: &dyn EventStore, events: u32) -> Result<Position> {
    const STREAM: u32 = 1000;
    let mut position = Position::START;
    for first in (0..events).step_by(STREAM as usize) {
        let stream = StreamId::new("till", first.to_string())?;
        let sales = (first..events.min(first + STREAM)).map(|number| sold(number).encode());
        let append = Append::to(stream, ExpectedVersion::NoStream, sales.collect::<Result<_, _>>()?);
        position = store.append(append).await?.position;
    }
    Ok(position)
}

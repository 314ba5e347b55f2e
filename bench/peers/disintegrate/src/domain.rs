//! The till, in the words of disintegrate.

use disintegrate::{Decision, Event, StateMutate, StateQuery};
use protocol::{Sale, sale};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
pub enum TillEvent {
    Sold {
        #[id]
        till: String,
        article: String,
        pieces: u32,
        cents: i64,
        customer: String,
        note: Option<String>,
    },
}

#[derive(Debug, Default, Clone, StateQuery, Serialize, Deserialize)]
#[state_query(TillEvent)]
pub struct Till {
    #[id]
    till: String,
    cents: i64,
}

impl Till {
    pub fn new(till: &str) -> Self {
        Self { till: till.to_owned(), cents: 0 }
    }
}

impl StateMutate for Till {
    fn mutate(&mut self, TillEvent::Sold { cents, .. }: TillEvent) {
        self.cents += cents;
    }
}

pub struct Sell {
    pub till: String,
    pub number: u32,
    pub count: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("nothing is refused")]
pub struct Never;

impl Decision for Sell {
    type Event = TillEvent;
    type StateQuery = Till;
    type Error = Never;

    fn state_query(&self) -> Till {
        Till::new(&self.till)
    }

    fn process(&self, _: &Till) -> Result<Vec<TillEvent>, Never> {
        Ok((self.number..self.number + self.count).map(|number| sold(&self.till, number)).collect())
    }
}

pub fn sold(till: &str, number: u32) -> TillEvent {
    let Sale { article, pieces, cents, customer, note } = sale(number);
    TillEvent::Sold { till: till.to_owned(), article, pieces, cents, customer, note }
}

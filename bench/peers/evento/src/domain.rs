//! The till, in the words of evento.

use evento::{AggregatorName, EventDetails};
use protocol::Sale;
use serde::{Deserialize, Serialize};

#[derive(AggregatorName, bincode::Encode, bincode::Decode)]
pub struct Sold {
    pub article: String,
    pub pieces: u32,
    pub cents: i64,
    pub customer: String,
    pub note: Option<String>,
}

impl From<Sale> for Sold {
    fn from(Sale { article, pieces, cents, customer, note }: Sale) -> Self {
        Self { article, pieces, cents, customer, note }
    }
}

#[derive(Default, Serialize, Deserialize, bincode::Encode, bincode::Decode, Clone, Debug)]
pub struct Till {
    pub cents: i64,
}

#[evento::aggregator]
impl Till {
    async fn sold(&mut self, event: EventDetails<Sold>) -> anyhow::Result<()> {
        self.cents += event.data.cents;
        Ok(())
    }
}

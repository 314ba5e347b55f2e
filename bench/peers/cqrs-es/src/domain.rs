//! The till, in the words of cqrs-es.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use protocol::{Sale, sale};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TillEvent {
    Sold(Sale),
}

impl DomainEvent for TillEvent {
    fn event_type(&self) -> String {
        "Sold".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

#[derive(Clone)]
pub struct Sell {
    pub number: u32,
    pub count: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("nothing is refused")]
pub struct Never;

#[derive(Default, Serialize, Deserialize)]
pub struct Till {
    cents: i64,
}

impl Aggregate for Till {
    const TYPE: &'static str = "till";
    type Command = Sell;
    type Event = TillEvent;
    type Error = Never;
    type Services = ();

    async fn handle(&mut self, command: Sell, (): &(), sink: &EventSink<Self>) -> Result<(), Never> {
        for number in command.number..command.number + command.count {
            sink.write(TillEvent::Sold(sale(number)), self).await;
        }
        Ok(())
    }

    fn apply(&mut self, TillEvent::Sold(sale): TillEvent) {
        self.cents += sale.cents;
    }
}

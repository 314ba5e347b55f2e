//! Shipments.

use recount_core::{Aggregate, Apply, Command, Event, Handle};
use serde::{Deserialize, Serialize};

use super::{UNREFUNDABLE, UNSHIPPABLE};

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_shipment", unlocked)]
pub enum ShipmentEvent {
    Shipped { order: u64 },
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Shipment, create)]
pub struct Ship {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("there is no carrier")]
pub struct NoCarrier;

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(name = "suite_shipment", id = u64, event = ShipmentEvent, error = NoCarrier, commands(Ship))]
pub struct Shipment;

impl Apply for Shipment {
    fn apply(&mut self, _: &ShipmentEvent) {}
}

impl Handle<Ship> for Shipment {
    fn handle(&self, command: Ship) -> Result<Vec<ShipmentEvent>, NoCarrier> {
        match command.pieces {
            UNSHIPPABLE | UNREFUNDABLE => Err(NoCarrier),
            _ => Ok(vec![ShipmentEvent::Shipped { order: command.order }]),
        }
    }
}

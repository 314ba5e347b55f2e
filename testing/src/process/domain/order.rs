//! Orders.

use recount_core::{Aggregate, Apply, Command, Event, Handle};

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_order", unlocked)]
pub enum OrderEvent {
    Placed { order: u64, pieces: u32 },
    Cancelled { order: u64 },
    Noted { order: u64 },
    Extended { order: u64 },
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Order, create)]
pub struct Place {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Order)]
pub struct Cancel {
    #[command(id)]
    pub order: u64,
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Order)]
pub struct Note {
    #[command(id)]
    pub order: u64,
}

/// Gives the customer more time to pay.
#[derive(Clone, Debug, Command)]
#[command(aggregate = Order)]
pub struct Extend {
    #[command(id)]
    pub order: u64,
}

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(name = "suite_order", id = u64, event = OrderEvent, error = std::convert::Infallible, commands(Place, Cancel, Note, Extend))]
pub struct Order;

impl Apply for Order {
    fn apply(&mut self, _: &OrderEvent) {}
}

impl Handle<Place> for Order {
    fn handle(&self, command: Place) -> Result<Vec<OrderEvent>, std::convert::Infallible> {
        Ok(vec![OrderEvent::Placed { order: command.order, pieces: command.pieces }])
    }
}

impl Handle<Cancel> for Order {
    fn handle(&self, command: Cancel) -> Result<Vec<OrderEvent>, std::convert::Infallible> {
        Ok(vec![OrderEvent::Cancelled { order: command.order }])
    }
}

impl Handle<Note> for Order {
    fn handle(&self, command: Note) -> Result<Vec<OrderEvent>, std::convert::Infallible> {
        Ok(vec![OrderEvent::Noted { order: command.order }])
    }
}

impl Handle<Extend> for Order {
    fn handle(&self, command: Extend) -> Result<Vec<OrderEvent>, std::convert::Infallible> {
        Ok(vec![OrderEvent::Extended { order: command.order }])
    }
}

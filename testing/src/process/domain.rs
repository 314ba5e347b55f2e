//! The world of the suite: orders that are placed and cancelled, stock, payments and shipments, and the process between them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use recount_core::{Aggregate, Apply, Command, Event, Handle, Moment, Process, RefusedCommand, Route, Step, Timer};
use serde::{Deserialize, Serialize};

/// When an unpaid order is given up.
pub const PAYMENT_TIME: Duration = Duration::from_millis(1500);
/// When stock is asked for again.
pub const RESTOCK_TIME: Duration = Duration::from_millis(300);

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_order", unlocked)]
pub enum OrderEvent {
    Placed { order: u64, pieces: u32 },
    Cancelled { order: u64 },
    Noted { order: u64 },
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

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(name = "suite_order", id = u64, event = OrderEvent, error = std::convert::Infallible, commands(Place, Cancel, Note))]
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

/// The stock of one order: a shelf of its own, filled by [`Fill`].
#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_stock", unlocked)]
pub enum StockEvent {
    Filled { order: u64, pieces: u32 },
    Reserved { order: u64, pieces: u32 },
    Released { order: u64, pieces: u32 },
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Stock)]
pub struct Fill {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Stock)]
pub struct Reserve {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Stock)]
pub struct Release {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StockError {
    TooFew { left: u32 },
    Jammed,
}

impl std::fmt::Display for StockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooFew { left } => write!(f, "only {left} are left"),
            Self::Jammed => f.write_str("the shelf is jammed"),
        }
    }
}

impl std::error::Error for StockError {}

/// The order whose reservations panic while [`BROKEN`].
pub const FRAGILE: u64 = 666;
pub static BROKEN: AtomicBool = AtomicBool::new(false);

/// Pieces that can't be put back: the shelf is jammed.
/// The payment for them is never answered, so that they are to be put back.
pub const JAMMED: u32 = 177;

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(name = "suite_stock", id = u64, event = StockEvent, error = StockError, commands(Fill, Reserve, Release))]
pub struct Stock {
    left: u32,
    unjammed: bool,
}

impl Apply for Stock {
    fn apply(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Filled { pieces, .. } => {
                self.left += pieces;
                self.unjammed |= *pieces == 0;
            }
            StockEvent::Reserved { pieces, .. } => self.left -= pieces,
            StockEvent::Released { pieces, .. } => self.left += pieces,
        }
    }
}

impl Handle<Fill> for Stock {
    fn handle(&self, command: Fill) -> Result<Vec<StockEvent>, StockError> {
        Ok(vec![StockEvent::Filled { order: command.order, pieces: command.pieces }])
    }
}

impl Handle<Reserve> for Stock {
    fn handle(&self, command: Reserve) -> Result<Vec<StockEvent>, StockError> {
        assert!(command.order != FRAGILE || !BROKEN.load(Ordering::SeqCst), "the shelf is broken");
        if self.left < command.pieces {
            return Err(StockError::TooFew { left: self.left });
        }
        Ok(vec![StockEvent::Reserved { order: command.order, pieces: command.pieces }])
    }
}

impl Handle<Release> for Stock {
    fn handle(&self, command: Release) -> Result<Vec<StockEvent>, StockError> {
        if command.pieces == JAMMED && !self.unjammed {
            return Err(StockError::Jammed);
        }
        Ok(vec![StockEvent::Released { order: command.order, pieces: command.pieces }])
    }
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_payment", unlocked)]
pub enum PaymentEvent {
    Captured { order: u64 },
    Refunded { order: u64 },
}

/// Pieces that are not paid for: the payment is declined.
pub const DECLINED: u32 = 13;
/// Pieces whose payment is never answered: nothing happens, until the time is over.
pub const UNANSWERED: u32 = 99;
/// Pieces after whose payment the process panics.
pub const PANICS: u32 = 66;

#[derive(Clone, Debug, Command)]
#[command(aggregate = Payment)]
pub struct Capture {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Payment)]
pub struct Refund {
    #[command(id)]
    pub order: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the payment is declined")]
pub struct Declined;

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(name = "suite_payment", id = u64, event = PaymentEvent, error = Declined, commands(Capture, Refund))]
pub struct Payment;

impl Apply for Payment {
    fn apply(&mut self, _: &PaymentEvent) {}
}

impl Handle<Capture> for Payment {
    fn handle(&self, command: Capture) -> Result<Vec<PaymentEvent>, Declined> {
        match command.pieces {
            DECLINED => Err(Declined),
            UNANSWERED | JAMMED => Ok(vec![]),
            _ => Ok(vec![PaymentEvent::Captured { order: command.order }]),
        }
    }
}

impl Handle<Refund> for Payment {
    fn handle(&self, command: Refund) -> Result<Vec<PaymentEvent>, Declined> {
        Ok(vec![PaymentEvent::Refunded { order: command.order }])
    }
}

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
}

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(name = "suite_shipment", id = u64, event = ShipmentEvent, error = std::convert::Infallible, commands(Ship))]
pub struct Shipment;

impl Apply for Shipment {
    fn apply(&mut self, _: &ShipmentEvent) {}
}

impl Handle<Ship> for Shipment {
    fn handle(&self, command: Ship) -> Result<Vec<ShipmentEvent>, std::convert::Infallible> {
        Ok(vec![ShipmentEvent::Shipped { order: command.order }])
    }
}

/// The process of the suite.
#[derive(Clone, Debug, Default, Process)]
#[process(name = "suite_fulfilment", id = u64, input = Input, fact = Fact, timer = FulfilmentTimer,
          commands(Reserve, Release, Capture, Refund, Ship))]
pub struct Fulfilment {
    order: u64,
    pieces: u32,
    attempts: u32,
    paid: bool,
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_fulfilment", unlocked)]
pub enum Fact {
    Started { order: u64, pieces: u32 },
    Restocking,
    StockReserved,
    Paid,
    Shipped,
    Noted,
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = u64)]
pub enum Input {
    #[event(only(Placed, Cancelled, Noted))]
    #[route(start(Placed), by = order)]
    Order(OrderEvent),
    #[event(only(Reserved))]
    #[route(by = order)]
    Stock(StockEvent),
    #[event(only(Captured))]
    #[route(by = order)]
    Payment(PaymentEvent),
    #[event(only(Shipped))]
    #[route(by = order)]
    Shipment(ShipmentEvent),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Timer)]
pub enum FulfilmentTimer {
    PaymentOverdue,
    Restock,
}

impl Fulfilment {
    fn reserve(order: u64, pieces: u32) -> Step<Self> {
        Step::new().run(Reserve { order, pieces }, Release { order, pieces })
    }
}

impl Process for Fulfilment {
    fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Started { order, pieces } => (self.order, self.pieces) = (*order, *pieces),
            Fact::Restocking => self.attempts += 1,
            Fact::Paid => self.paid = true,
            Fact::StockReserved | Fact::Shipped | Fact::Noted => {}
        }
    }

    fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
        let order = self.order;
        match input {
            Input::Order(OrderEvent::Placed { order, pieces }) => Self::reserve(*order, *pieces)
                .fact(Fact::Started { order: *order, pieces: *pieces })
                .timer(FulfilmentTimer::PaymentOverdue, at.after(PAYMENT_TIME)),
            Input::Order(OrderEvent::Cancelled { .. }) => Step::new().compensate(),
            Input::Order(OrderEvent::Noted { .. }) => Step::new().fact(Fact::Noted),
            Input::Stock(StockEvent::Reserved { .. }) => {
                let capture = Capture { order, pieces: self.pieces };
                Step::new().fact(Fact::StockReserved).run(capture, Refund { order })
            }
            Input::Payment(PaymentEvent::Captured { .. }) => {
                assert!(self.pieces != PANICS, "out of luck");
                Step::new().fact(Fact::Paid).cancel(FulfilmentTimer::PaymentOverdue).send(Ship { order })
            }
            Input::Shipment(ShipmentEvent::Shipped { .. }) if self.paid => Step::new().fact(Fact::Shipped).end(),
            _ => Step::unexpected(),
        }
    }

    fn due(&self, timer: &FulfilmentTimer, _: &Moment) -> Step<Self> {
        match timer {
            FulfilmentTimer::PaymentOverdue => Step::new().compensate(),
            FulfilmentTimer::Restock => Self::reserve(self.order, self.pieces),
        }
    }

    fn refused(&self, refused: &RefusedCommand, at: &Moment) -> Step<Self> {
        match refused.of::<Reserve>() {
            Some(StockError::TooFew { .. }) if self.attempts < 2 => {
                Step::new().fact(Fact::Restocking).timer(FulfilmentTimer::Restock, at.after(RESTOCK_TIME))
            }
            _ => Step::new().compensate(),
        }
    }
}

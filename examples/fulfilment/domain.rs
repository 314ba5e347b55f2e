//! The aggregates around the process: orders, stock, payments, shipments. None of them knows the process.

use recount::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Id)]
pub struct OrderId(pub u64);

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "order", unlocked)]
pub enum OrderEvent {
    Placed { order: OrderId, article: String, pieces: u32, cents: u64 },
    Cancelled { order: OrderId },
}

#[derive(Clone, Default, Aggregate)]
#[aggregate(name = "order", id = OrderId, event = OrderEvent, error = OrderError, commands(Place, Cancel))]
pub struct Order {
    cancelled: bool,
}

#[derive(Clone, Command)]
#[command(aggregate = Order, create)]
pub struct Place {
    #[command(id)]
    pub order: OrderId,
    pub article: String,
    pub pieces: u32,
    pub cents: u64,
}

#[derive(Clone, Command)]
#[command(aggregate = Order)]
pub struct Cancel {
    #[command(id)]
    pub order: OrderId,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("an order has at least one piece")]
pub struct OrderError;

impl Apply for Order {
    fn apply(&mut self, event: &OrderEvent) {
        self.cancelled |= matches!(event, OrderEvent::Cancelled { .. });
    }
}

impl Handle<Place> for Order {
    fn handle(&self, Place { order, article, pieces, cents }: Place) -> Result<Vec<OrderEvent>, OrderError> {
        if pieces == 0 { Err(OrderError) } else { Ok(vec![OrderEvent::Placed { order, article, pieces, cents }]) }
    }
}

impl Handle<Cancel> for Order {
    fn handle(&self, Cancel { order }: Cancel) -> Result<Vec<OrderEvent>, OrderError> {
        Ok(if self.cancelled { vec![] } else { vec![OrderEvent::Cancelled { order }] })
    }
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "stock", unlocked)]
pub enum StockEvent {
    Arrived { pieces: u32 },
    Reserved { order: OrderId, pieces: u32 },
    Released { order: OrderId, pieces: u32 },
}

#[derive(Clone, Default, Aggregate)]
#[aggregate(name = "stock", id = String, event = StockEvent, error = StockError, commands(Arrive, Reserve, Release))]
pub struct Stock {
    left: u32,
}

#[derive(Clone, Command)]
#[command(aggregate = Stock)]
pub struct Arrive {
    #[command(id)]
    pub article: String,
    pub pieces: u32,
}

#[derive(Clone, Command)]
#[command(aggregate = Stock)]
pub struct Reserve {
    #[command(id)]
    pub article: String,
    pub order: OrderId,
    pub pieces: u32,
}

#[derive(Clone, Command)]
#[command(aggregate = Stock)]
pub struct Release {
    #[command(id)]
    pub article: String,
    pub order: OrderId,
    pub pieces: u32,
}

/// With serde's traits the process sees the error itself, not only its text.
#[derive(Debug, PartialEq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum StockError {
    #[error("only {left} are left")]
    TooFew { left: u32 },
}

impl Apply for Stock {
    fn apply(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Arrived { pieces } | StockEvent::Released { pieces, .. } => self.left += pieces,
            StockEvent::Reserved { pieces, .. } => self.left -= pieces,
        }
    }
}

impl Handle<Arrive> for Stock {
    fn handle(&self, Arrive { pieces, .. }: Arrive) -> Result<Vec<StockEvent>, StockError> {
        Ok(vec![StockEvent::Arrived { pieces }])
    }
}

impl Handle<Reserve> for Stock {
    fn handle(&self, Reserve { order, pieces, .. }: Reserve) -> Result<Vec<StockEvent>, StockError> {
        if self.left < pieces {
            return Err(StockError::TooFew { left: self.left });
        }
        Ok(vec![StockEvent::Reserved { order, pieces }])
    }
}

impl Handle<Release> for Stock {
    fn handle(&self, Release { order, pieces, .. }: Release) -> Result<Vec<StockEvent>, StockError> {
        Ok(vec![StockEvent::Released { order, pieces }])
    }
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "payment", unlocked)]
pub enum PaymentEvent {
    Captured { order: OrderId, cents: u64 },
    Refunded { order: OrderId, cents: u64 },
}

#[derive(Clone, Default, Aggregate)]
#[aggregate(name = "payment", id = OrderId, event = PaymentEvent, error = Declined, commands(Capture, Refund))]
pub struct Payment {
    captured: u64,
}

#[derive(Clone, Command)]
#[command(aggregate = Payment)]
pub struct Capture {
    #[command(id)]
    pub order: OrderId,
    pub cents: u64,
}

#[derive(Clone, Command)]
#[command(aggregate = Payment)]
pub struct Refund {
    #[command(id)]
    pub order: OrderId,
}

#[derive(Debug, PartialEq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("the payment is declined")]
pub struct Declined;

/// The limit of all cards.
pub const LIMIT: u64 = 100_000;

impl Apply for Payment {
    fn apply(&mut self, event: &PaymentEvent) {
        match event {
            PaymentEvent::Captured { cents, .. } => self.captured += cents,
            PaymentEvent::Refunded { cents, .. } => self.captured -= cents,
        }
    }
}

impl Handle<Capture> for Payment {
    fn handle(&self, Capture { order, cents }: Capture) -> Result<Vec<PaymentEvent>, Declined> {
        if cents > LIMIT { Err(Declined) } else { Ok(vec![PaymentEvent::Captured { order, cents }]) }
    }
}

impl Handle<Refund> for Payment {
    fn handle(&self, Refund { order }: Refund) -> Result<Vec<PaymentEvent>, Declined> {
        Ok(vec![PaymentEvent::Refunded { order, cents: self.captured }])
    }
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "shipment", unlocked)]
pub enum ShipmentEvent {
    Shipped { order: OrderId },
}

#[derive(Clone, Default, Aggregate)]
#[aggregate(name = "shipment", id = OrderId, event = ShipmentEvent, error = std::convert::Infallible, commands(Ship))]
pub struct Shipment;

#[derive(Clone, Command)]
#[command(aggregate = Shipment, create)]
pub struct Ship {
    #[command(id)]
    pub order: OrderId,
}

impl Apply for Shipment {
    fn apply(&mut self, _: &ShipmentEvent) {}
}

impl Handle<Ship> for Shipment {
    fn handle(&self, Ship { order }: Ship) -> Result<Vec<ShipmentEvent>, std::convert::Infallible> {
        Ok(vec![ShipmentEvent::Shipped { order }])
    }
}

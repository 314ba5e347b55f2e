//! The process: placed → reserved → paid → shipped, and its answers to failures on the way.

use std::time::Duration;

use recount::prelude::*;

use crate::domain::{
    Capture, Declined, OrderEvent, OrderId, PaymentEvent, Refund, Release, Reserve, Ship, ShipmentEvent, StockError,
    StockEvent,
};

pub const PAYMENT_TIME: Duration = Duration::from_secs(30 * 60);
pub const RESTOCK_TIME: Duration = Duration::from_secs(5 * 60);

/// The inputs, and the instance that each event is for.
#[derive(Event, Route)]
#[event(union)]
#[route(to = OrderId)]
pub enum Input {
    #[event(only(Placed, Cancelled))]
    #[route(start(Placed), by = order)]
    Order(OrderEvent),
    #[event(only(Reserved))]
    #[route(by = order)]
    Stock(StockEvent),
    #[event(only(Captured))]
    #[route(by = order)]
    Payment(PaymentEvent),
    #[route(by = order)]
    #[event(only(Shipped))]
    Shipment(ShipmentEvent),
}

/// The facts: events as all others, with versions and upcasters.
#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "fulfilment", unlocked)]
pub enum Fact {
    Started { order: OrderId, article: String, pieces: u32, cents: u64 },
    OutOfStock,
    Declined,
    Paid,
}

/// The timers.
#[derive(Clone, Debug, PartialEq, Timer)]
pub enum FulfilmentTimer {
    PaymentOverdue,
    Restock,
}

#[derive(Clone, Debug, Default, Process)]
#[process(name = "fulfilment", id = OrderId, input = Input, fact = Fact, timer = FulfilmentTimer,
          commands(Reserve, Release, Capture, Refund, Ship))]
pub struct Fulfilment {
    order: Option<OrderId>,
    article: String,
    pieces: u32,
    cents: u64,
    out_of_stock: u32,
    paid: bool,
}

impl Process for Fulfilment {
    fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Started { order, article, pieces, cents } => {
                *self = Self {
                    order: Some(*order),
                    article: article.clone(),
                    pieces: *pieces,
                    cents: *cents,
                    ..Self::default()
                };
            }
            Fact::OutOfStock => self.out_of_stock += 1,
            Fact::Paid => self.paid = true,
            Fact::Declined => {}
        }
    }

    fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
        match (input, self.order) {
            (Input::Order(OrderEvent::Placed { order, article, pieces, cents }), None) => {
                let (order, article, pieces, cents) = (*order, article.clone(), *pieces, *cents);
                reserve(order, &article, pieces)
                    .fact(Fact::Started { order, article, pieces, cents })
                    .timer(FulfilmentTimer::PaymentOverdue, at.after(PAYMENT_TIME))
            }
            (Input::Stock(StockEvent::Reserved { .. }), Some(order)) => {
                Step::new().run(Capture { order, cents: self.cents }, Refund { order })
            }
            (Input::Payment(PaymentEvent::Captured { .. }), Some(order)) => {
                Step::new().fact(Fact::Paid).cancel(FulfilmentTimer::PaymentOverdue).send(Ship { order })
            }
            (Input::Shipment(ShipmentEvent::Shipped { .. }), Some(_)) => Step::new().end(),
            (Input::Order(OrderEvent::Cancelled { .. }), _) if self.paid => Step::ignore(),
            (Input::Order(OrderEvent::Cancelled { .. }), _) => Step::new().compensate(),
            _ => Step::unexpected(),
        }
    }

    fn due(&self, timer: &FulfilmentTimer, _: &Moment) -> Step<Self> {
        match (timer, self.order) {
            (FulfilmentTimer::Restock, Some(order)) => reserve(order, &self.article, self.pieces),
            (FulfilmentTimer::PaymentOverdue | FulfilmentTimer::Restock, _) => Step::new().compensate(),
        }
    }

    fn refused(&self, refused: &RefusedCommand, at: &Moment) -> Step<Self> {
        match refused.of::<Reserve>() {
            Some(StockError::TooFew { .. }) if self.out_of_stock < 2 => {
                Step::new().fact(Fact::OutOfStock).timer(FulfilmentTimer::Restock, at.after(RESTOCK_TIME))
            }
            _ if refused.of::<Capture>() == Some(Declined) => Step::new().fact(Fact::Declined).compensate(),
            _ => Step::new().compensate(),
        }
    }
}

/// Reserves the pieces. If the order comes to nothing, they are released.
fn reserve(order: OrderId, article: &str, pieces: u32) -> Step<Fulfilment> {
    let article = article.to_owned();
    Step::new().run(Reserve { article: article.clone(), order, pieces }, Release { article, order, pieces })
}

//! The process between orders, stock, payments and shipments.

use recount_core::{Event, Moment, Process, RefusedCommand, Route, Step, Timer};

use super::{
    Capture, JAMMED, OrderEvent, PAID_BY_HAND, PANICS, PaymentEvent, RESTOCK_TIME, Refund, Release, Reserve, Ship,
    ShipmentEvent, StockError, StockEvent, is_mended, payment_time,
};

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
    #[event(only(Placed, Cancelled, Noted, Extended))]
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
        let Self { order, pieces, .. } = *self;
        match input {
            Input::Order(OrderEvent::Placed { order, pieces }) => Self::reserve(*order, *pieces)
                .fact(Fact::Started { order: *order, pieces: *pieces })
                .timer(FulfilmentTimer::PaymentOverdue, at.after(payment_time(*pieces))),
            Input::Order(OrderEvent::Cancelled { .. }) if !self.paid => Step::new().compensate(),
            Input::Order(OrderEvent::Extended { .. }) if !self.paid => {
                Step::new().timer(FulfilmentTimer::PaymentOverdue, at.after(payment_time(pieces)))
            }
            Input::Order(_) => Step::new().fact(Fact::Noted),
            Input::Stock(StockEvent::Reserved { .. }) => {
                Step::new().fact(Fact::StockReserved).run(Capture { order, pieces }, Refund { order, pieces })
            }
            Input::Payment(PaymentEvent::Captured { .. }) => {
                assert!(pieces != PANICS || is_mended(order), "out of luck");
                let paid = Step::new().fact(Fact::Paid).cancel(FulfilmentTimer::PaymentOverdue);
                // The process has not asked for these payments, so it has no request that would be undone.
                let by_hand = matches!(pieces, PAID_BY_HAND | JAMMED);
                let paid = if by_hand { paid.also_undo(Refund { order, pieces }) } else { paid };
                paid.send(Ship { order, pieces })
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

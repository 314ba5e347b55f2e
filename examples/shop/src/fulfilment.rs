//! The fulfilment of an order: a process across orders, payment, inventory and notification.
//!
//! An order is reserved and paid, then shipped, then its customer is told. If that can't be, the effects are undone: stock is
//! released, money refunded, and the customer is told the reason.

use std::time::Duration;

use recount::{Event, Moment, Process, RefusedCommand, Route, Step, Timer};

use crate::inventory::{Backorder, ReleaseStock, ReserveStock, ShipOrder, StockError, StockEvent};
use crate::notification::{News, TellCustomer};
use crate::order::OrderEvent;
use crate::payment::{CapturePayment, CloseInvoice, PaymentError, PaymentEvent, RefundPayment};
use crate::values::{CustomerId, OrderId, warehouse_of};

/// How long a customer has to pay an invoice. It is short, since the shop's report waits for it.
pub const PAYMENT_TIME: Duration = Duration::from_secs(3);
/// The time after which a supplier is asked for CDs that are out of stock, and asked again.
pub const RESTOCK_TIME: Duration = Duration::from_millis(500);
/// How often it is asked.
const RESTOCKS: u32 = 2;

/// The events that the process hears.
#[derive(Event, Route, Clone, Debug)]
#[event(union)]
#[route(to = OrderId)]
pub enum Input {
    #[event(only(Placed, Cancelled))]
    #[route(start(Placed), by = order)]
    Order(OrderEvent),
    #[event(only(Reserved))]
    #[route(by = order)]
    Stock(StockEvent),
    #[event(only(Captured, Waived, Invoiced, Overdue))]
    #[route(by = order)]
    Payment(PaymentEvent),
}

/// The facts that it remembers.
#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "fulfilment")]
pub enum FulfilmentFact {
    Started {
        order: OrderId,
        customer: CustomerId,
        cds: u32,
    },
    /// The shelves don't hold enough CDs.
    OutOfStock,
    /// It is paid, but not yet in stock.
    PaidInAdvance,
    /// The supplier was asked.
    Backordered,
    GivenUp {
        because: News,
    },
}

/// The timers that it waits for.
#[derive(Timer, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FulfilmentTimer {
    PaymentOverdue,
    Restock,
}

#[derive(Process, Clone, Debug, Default)]
#[process(name = "fulfilment", id = OrderId, input = Input, fact = FulfilmentFact, timer = FulfilmentTimer,
          commands(ReserveStock, Backorder, ReleaseStock, CapturePayment, CloseInvoice, RefundPayment, ShipOrder, TellCustomer))]
pub struct Fulfilment {
    order: OrderId,
    customer: CustomerId,
    cds: u32,
    out_of_stock: bool,
    backorders: u32,
    given_up: bool,
}

impl Process for Fulfilment {
    fn apply(&mut self, fact: &FulfilmentFact) {
        match fact {
            FulfilmentFact::Started { order, customer, cds } => {
                (self.order, self.customer, self.cds) = (order.clone(), customer.clone(), *cds);
            }
            FulfilmentFact::OutOfStock => self.out_of_stock = true,
            FulfilmentFact::PaidInAdvance => {}
            FulfilmentFact::Backordered => self.backorders += 1,
            FulfilmentFact::GivenUp { .. } => self.given_up = true,
        }
    }

    fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
        match input {
            Input::Order(OrderEvent::Placed { payment: None, .. }) => Step::ignore(),
            Input::Order(OrderEvent::Placed { order, customer, cds, total, payment: Some(method), .. }) => {
                let warehouse = warehouse_of(customer);
                let (order, customer, cds, method) = (order.clone(), customer.clone(), *cds, *method);
                let reserve = ReserveStock { warehouse: warehouse.clone(), order: order.clone(), cds };
                let release = ReleaseStock { warehouse, order: order.clone(), cds };
                let (paid, refund) = (customer.clone(), RefundPayment { order: order.clone() });
                let capture = CapturePayment { order: order.clone(), customer: paid, amount: total.cents, cds, method };
                Step::new()
                    .fact(FulfilmentFact::Started { order, customer, cds })
                    .run(reserve, release)
                    .run(capture, refund)
            }
            Input::Payment(PaymentEvent::Invoiced { .. }) => {
                Step::new().timer(FulfilmentTimer::PaymentOverdue, at.after(PAYMENT_TIME))
            }
            Input::Payment(PaymentEvent::Captured { .. } | PaymentEvent::Waived { .. }) if self.out_of_stock => {
                Step::new()
                    .fact(FulfilmentFact::PaidInAdvance)
                    .cancel(FulfilmentTimer::PaymentOverdue)
                    .timer(FulfilmentTimer::Restock, at.after(RESTOCK_TIME))
            }
            Input::Payment(PaymentEvent::Captured { .. } | PaymentEvent::Waived { .. }) => {
                self.ship(News::Shipped { cds: self.cds })
            }
            Input::Stock(StockEvent::Reserved { .. }) if self.backorders > 0 => {
                self.ship(News::ShippedLate { cds: self.cds })
            }
            // The payment has been asked for already, and its answer decides.
            Input::Stock(_) => Step::ignore(),
            Input::Order(OrderEvent::Cancelled { .. }) => self.give_up(News::Cancelled),
            Input::Payment(PaymentEvent::Overdue { .. }) => self.give_up(News::Overdue),
            Input::Payment(PaymentEvent::Voided { .. } | PaymentEvent::Refunded { .. }) => Step::unexpected(),
        }
    }

    fn due(&self, timer: &FulfilmentTimer, _: &Moment) -> Step<Self> {
        match timer {
            FulfilmentTimer::PaymentOverdue => Step::new().send(CloseInvoice { order: self.order.clone() }),
            FulfilmentTimer::Restock => {
                let (warehouse, order, cds) = (warehouse_of(&self.customer), self.order.clone(), self.cds);
                let backorder = Backorder { warehouse: warehouse.clone(), order: order.clone(), cds };
                Step::new().fact(FulfilmentFact::Backordered).run(backorder, ReleaseStock { warehouse, order, cds })
            }
        }
    }

    fn refused(&self, refused: &RefusedCommand, at: &Moment) -> Step<Self> {
        if let Some(StockError::OutOfStock { .. }) = refused.of::<ReserveStock>() {
            return Step::new().fact(FulfilmentFact::OutOfStock);
        }
        if let Some(PaymentError::Declined) = refused.of::<CapturePayment>() {
            return self.give_up(News::Declined);
        }
        if let Some(StockError::OutOfStock { .. }) = refused.of::<Backorder>() {
            return if self.backorders < RESTOCKS {
                Step::new().timer(FulfilmentTimer::Restock, at.after(RESTOCK_TIME))
            } else {
                self.give_up(News::SoldOut)
            };
        }
        Step::new().compensate()
    }
}

impl Fulfilment {
    fn ship(&self, news: News) -> Step<Self> {
        let (order, customer) = (self.order.clone(), self.customer.clone());
        let ship = ShipOrder { warehouse: warehouse_of(&customer), order, customer, cds: self.cds };
        Step::new().send(ship).send(self.tell(news)).end()
    }

    /// Undoes the effects, and tells the customer the reason.
    fn give_up(&self, because: News) -> Step<Self> {
        if self.given_up {
            return Step::ignore();
        }
        let tell = self.tell(because.clone());
        Step::new().fact(FulfilmentFact::GivenUp { because }).also_undo(tell).compensate()
    }

    fn tell(&self, news: News) -> TellCustomer {
        TellCustomer { order: self.order.clone(), customer: self.customer.clone(), news }
    }
}

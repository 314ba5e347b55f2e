//! Orders: the customer, the day, the number of CDs, the total, and how it is paid. A customer may cancel an order.

use jiff::civil::Date;
use recount::{Aggregate, Apply, Command, Event, Handle};
use serde::Deserialize;

use crate::values::{Cents, CustomerId, Money, OrderId, PaymentMethod};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "order", published)]
pub enum OrderEvent {
    /// Version 1 had a bare number of cents: the shop knew one currency.
    #[event(version = 2, upcast(placed_v1))]
    Placed {
        #[event(tag)]
        order: OrderId,
        #[event(tag)]
        customer: CustomerId,
        #[schemars(with = "String")]
        day: Date,
        cds: u32,
        total: Money,
        /// `None`: an earlier shop took the order, and saw to its payment and shipping.
        #[serde(default)]
        payment: Option<PaymentMethod>,
    },
    Cancelled {
        #[event(tag)]
        order: OrderId,
    },
}

#[derive(Deserialize)]
struct PlacedV1 {
    order: OrderId,
    customer: CustomerId,
    day: Date,
    cds: u32,
    total: Cents,
}

fn placed_v1(PlacedV1 { order, customer, day, cds, total }: PlacedV1) -> OrderEvent {
    OrderEvent::Placed { order, customer, day, cds, total: total.into(), payment: None }
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Order, create)]
pub struct PlaceOrder {
    #[command(id)]
    pub order: OrderId,
    pub customer: CustomerId,
    #[schemars(with = "String")]
    pub day: Date,
    pub cds: u32,
    pub total: Cents,
    pub payment: PaymentMethod,
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Order)]
pub struct CancelOrder {
    #[command(id)]
    pub order: OrderId,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("an order needs at least one CD")]
    Empty,
    #[error("an order can't cost less than nothing, but the total is {0}")]
    NegativeTotal(Cents),
    #[error("there is no order {0}")]
    Unknown(OrderId),
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "order", id = OrderId, event = OrderEvent, error = OrderError, commands(PlaceOrder, CancelOrder))]
pub struct Order {
    placed: bool,
    cancelled: bool,
}

impl Apply for Order {
    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed { .. } => self.placed = true,
            OrderEvent::Cancelled { .. } => self.cancelled = true,
        }
    }
}

impl Handle<PlaceOrder> for Order {
    fn handle(&self, command: PlaceOrder) -> Result<Vec<OrderEvent>, OrderError> {
        let PlaceOrder { order, customer, day, cds, total, payment } = command;
        if cds == 0 {
            return Err(OrderError::Empty);
        }
        if total < Cents::default() {
            return Err(OrderError::NegativeTotal(total));
        }
        Ok(vec![OrderEvent::Placed { order, customer, day, cds, total: total.into(), payment: Some(payment) }])
    }
}

impl Handle<CancelOrder> for Order {
    fn handle(&self, CancelOrder { order }: CancelOrder) -> Result<Vec<OrderEvent>, OrderError> {
        match self {
            Self { placed: false, .. } => Err(OrderError::Unknown(order)),
            Self { cancelled: true, .. } => Ok(Vec::new()),
            _ => Ok(vec![OrderEvent::Cancelled { order }]),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use recount_testing::given;

    use super::*;

    fn order() -> OrderId {
        "o1".to_owned().into()
    }

    fn place(cds: u32, total: i64) -> PlaceOrder {
        PlaceOrder {
            order: order(),
            customer: "c1".to_owned().into(),
            day: date(1997, 1, 1),
            cds,
            total: Cents::from(total),
            payment: PaymentMethod::Card,
        }
    }

    fn placed() -> OrderEvent {
        let PlaceOrder { order, customer, day, cds, total, payment } = place(1, 0);
        OrderEvent::Placed { order, customer, day, cds, total: total.into(), payment: Some(payment) }
    }

    #[test]
    fn an_order_is_placed_also_when_it_is_free() {
        given::<Order>([]).when(place(1, 0)).then([placed()]);
    }

    #[test]
    fn an_order_of_nothing_is_refused() {
        given::<Order>([]).when(place(0, 100)).then_error(OrderError::Empty);
        given::<Order>([]).when(place(1, -1)).then_error(OrderError::NegativeTotal(Cents::from(-1)));
    }

    #[test]
    fn an_order_is_cancelled_once() {
        let (cancel, cancelled) = (CancelOrder { order: order() }, OrderEvent::Cancelled { order: order() });
        given::<Order>([placed()]).when(cancel.clone()).then([cancelled.clone()]);
        given::<Order>([placed(), cancelled]).when(cancel.clone()).then([]);
        given::<Order>([]).when(cancel).then_error(OrderError::Unknown(order()));
    }
}

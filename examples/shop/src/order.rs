//! Orders: the customer, the day, the number of CDs, and the total.

use jiff::civil::Date;
use recount::{Aggregate, Apply, Command, Event, Handle};
use serde::Deserialize;

use crate::values::{Cents, CustomerId, Money, OrderId};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "order")]
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
    OrderEvent::Placed { order, customer, day, cds, total: total.into() }
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
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("an order needs at least one CD")]
    Empty,
    #[error("an order can't cost less than nothing, but the total is {0}")]
    NegativeTotal(Cents),
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "order", id = OrderId, event = OrderEvent, error = OrderError, commands(PlaceOrder))]
pub struct Order;

impl Apply for Order {
    fn apply(&mut self, _: &OrderEvent) {}
}

impl Handle<PlaceOrder> for Order {
    fn handle(&self, command: PlaceOrder) -> Result<Vec<OrderEvent>, OrderError> {
        let PlaceOrder { order, customer, day, cds, total } = command;
        if cds == 0 {
            return Err(OrderError::Empty);
        }
        if total < Cents::default() {
            return Err(OrderError::NegativeTotal(total));
        }
        Ok(vec![OrderEvent::Placed { order, customer, day, cds, total: total.into() }])
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use recount_testing::given;

    use super::*;

    fn place(cds: u32, total: i64) -> PlaceOrder {
        PlaceOrder {
            order: "o1".to_owned().into(),
            customer: "c1".to_owned().into(),
            day: date(1997, 1, 1),
            cds,
            total: Cents::from(total),
        }
    }

    #[test]
    fn an_order_is_placed_also_when_it_is_free() {
        let PlaceOrder { order, customer, day, cds, total } = place(1, 0);
        given::<Order>([]).when(place(1, 0)).then([OrderEvent::Placed {
            order,
            customer,
            day,
            cds,
            total: total.into(),
        }]);
    }

    #[test]
    fn an_order_of_nothing_is_refused() {
        given::<Order>([]).when(place(0, 100)).then_error(OrderError::Empty);
        given::<Order>([]).when(place(1, -1)).then_error(OrderError::NegativeTotal(Cents::from(-1)));
    }
}

//! Payments: each order that was placed is paid once. Free orders have nothing to pay, and that is recorded too.

use recount::{Aggregate, Apply, BoxError, Command, Commands, Event, Handle, Reaction, RecordedEvent};
use serde::Deserialize;

use crate::order::OrderEvent;
use crate::values::{Cents, CustomerId, Money, OrderId};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "payment")]
pub enum PaymentEvent {
    /// Version 1 had a bare number of cents: the shop knew one currency.
    #[event(version = 2, upcast(captured_v1))]
    Captured {
        #[event(tag)]
        order: OrderId,
        customer: CustomerId,
        amount: Money,
        cds: u32,
    },
    Waived {
        #[event(tag)]
        order: OrderId,
        customer: CustomerId,
        cds: u32,
    },
}

#[derive(Deserialize)]
struct CapturedV1 {
    order: OrderId,
    customer: CustomerId,
    amount: Cents,
    cds: u32,
}

fn captured_v1(CapturedV1 { order, customer, amount, cds }: CapturedV1) -> PaymentEvent {
    PaymentEvent::Captured { order, customer, amount: amount.into(), cds }
}

/// Takes the money for an order. Its stream is named by the order: it can only happen once.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Payment, create)]
pub struct CapturePayment {
    #[command(id)]
    pub order: OrderId,
    pub customer: CustomerId,
    pub amount: Cents,
    pub cds: u32,
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "payment", id = OrderId, event = PaymentEvent, error = std::convert::Infallible,
            commands(CapturePayment))]
pub struct Payment;

impl Apply for Payment {
    fn apply(&mut self, _: &PaymentEvent) {}
}

impl Handle<CapturePayment> for Payment {
    fn handle(&self, command: CapturePayment) -> Result<Vec<PaymentEvent>, std::convert::Infallible> {
        let CapturePayment { order, customer, amount, cds } = command;
        Ok(vec![if amount.is_zero() {
            PaymentEvent::Waived { order, customer, cds }
        } else {
            PaymentEvent::Captured { order, customer, amount: amount.into(), cds }
        }])
    }
}

/// Hears of an order, and takes the money.
pub struct Payments;

impl Reaction for Payments {
    type Event = OrderEvent;

    fn name(&self) -> &str {
        "payments"
    }

    async fn on(&self, event: &OrderEvent, _: &RecordedEvent) -> Result<Commands, BoxError> {
        let OrderEvent::Placed { order, customer, cds, total, .. } = event.clone();
        // A file of an earlier shop has payments without the reaction's idempotency keys.
        Ok(Commands::send(CapturePayment { order, customer, amount: total.cents, cds }).existing_is_done())
    }
}

#[cfg(test)]
mod tests {
    use recount_testing::given;

    use super::*;

    fn capture(amount: i64) -> CapturePayment {
        CapturePayment {
            order: "o1".to_owned().into(),
            customer: "c1".to_owned().into(),
            amount: Cents::from(amount),
            cds: 2,
        }
    }

    #[test]
    fn an_order_is_paid() {
        let CapturePayment { order, customer, amount, cds } = capture(1177);
        given::<Payment>([]).when(capture(1177)).then([PaymentEvent::Captured {
            order,
            customer,
            amount: amount.into(),
            cds,
        }]);
    }

    #[test]
    fn a_free_order_has_nothing_to_pay() {
        let CapturePayment { order, customer, cds, .. } = capture(0);
        given::<Payment>([]).when(capture(0)).then([PaymentEvent::Waived { order, customer, cds }]);
    }

    #[test]
    fn an_order_is_paid_once() {
        let CapturePayment { order, customer, amount, cds } = capture(1177);
        let paid = PaymentEvent::Captured { order, customer, amount: amount.into(), cds };
        given::<Payment>([paid]).when(capture(1177)).then_already_exists();
    }
}

//! Payments: each order that was placed is paid once. Free orders have nothing to pay, and that is recorded too.

use recount::{Aggregate, Apply, Command, Event, Handle};

use crate::values::{Cents, CustomerId, OrderId};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "payment")]
pub enum PaymentEvent {
    Captured {
        #[event(tag)]
        order: OrderId,
        customer: CustomerId,
        amount: Cents,
        cds: u32,
    },
    Waived {
        #[event(tag)]
        order: OrderId,
        customer: CustomerId,
        cds: u32,
    },
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
            PaymentEvent::Captured { order, customer, amount, cds }
        }])
    }
}

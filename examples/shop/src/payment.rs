//! Payments: an order is paid by card, at once, or by an invoice that its customer pays later, or never. Free orders have
//! nothing to pay, and that is recorded too.

use recount::{Aggregate, Apply, Command, Event, Handle};
use serde::{Deserialize, Serialize};

use crate::rule::card_is_declined;
use crate::values::{Cents, CustomerId, Money, OrderId, PaymentMethod};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "payment", published)]
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
    Invoiced {
        #[event(tag)]
        order: OrderId,
        customer: CustomerId,
        amount: Money,
        cds: u32,
    },
    /// The invoice was not paid in time, and can't be paid any more.
    Overdue {
        #[event(tag)]
        order: OrderId,
    },
    /// The invoice was taken back.
    Voided {
        #[event(tag)]
        order: OrderId,
    },
    Refunded {
        #[event(tag)]
        order: OrderId,
        customer: CustomerId,
        amount: Money,
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

/// Takes the money for an order, or sends an invoice. Its stream is named by the order: it can only happen once.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Payment, create)]
pub struct CapturePayment {
    #[command(id)]
    pub order: OrderId,
    pub customer: CustomerId,
    pub amount: Cents,
    pub cds: u32,
    pub method: PaymentMethod,
}

/// The customer pays an invoice.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Payment)]
pub struct PayInvoice {
    #[command(id)]
    pub order: OrderId,
}

/// Time is up: an invoice that is still open can't be paid any more.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Payment)]
pub struct CloseInvoice {
    #[command(id)]
    pub order: OrderId,
}

/// Gives the money back, or takes the invoice back.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Payment)]
pub struct RefundPayment {
    #[command(id)]
    pub order: OrderId,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PaymentError {
    #[error("the bank declines the card")]
    Declined,
    #[error("there is no open invoice")]
    NoOpenInvoice,
}

/// The payment of an order.
#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "payment", id = OrderId, event = PaymentEvent, error = PaymentError,
            commands(CapturePayment, PayInvoice, CloseInvoice, RefundPayment))]
pub enum Payment {
    /// There is nothing to pay or to give back: it is free, refunded, or the invoice is closed.
    #[default]
    Settled,
    Open {
        customer: CustomerId,
        amount: Money,
        cds: u32,
    },
    Paid {
        customer: CustomerId,
        amount: Money,
    },
}

impl Apply for Payment {
    fn apply(&mut self, event: &PaymentEvent) {
        *self = match event {
            PaymentEvent::Captured { customer, amount, .. } => {
                Self::Paid { customer: customer.clone(), amount: *amount }
            }
            PaymentEvent::Invoiced { customer, amount, cds, .. } => {
                Self::Open { customer: customer.clone(), amount: *amount, cds: *cds }
            }
            PaymentEvent::Waived { .. }
            | PaymentEvent::Overdue { .. }
            | PaymentEvent::Voided { .. }
            | PaymentEvent::Refunded { .. } => Self::Settled,
        };
    }
}

impl Handle<CapturePayment> for Payment {
    fn handle(&self, command: CapturePayment) -> Result<Vec<PaymentEvent>, PaymentError> {
        let CapturePayment { order, customer, amount, cds, method } = command;
        Ok(vec![match method {
            _ if amount.is_zero() => PaymentEvent::Waived { order, customer, cds },
            PaymentMethod::Invoice => PaymentEvent::Invoiced { order, customer, amount: amount.into(), cds },
            PaymentMethod::Card if card_is_declined(&customer) => return Err(PaymentError::Declined),
            PaymentMethod::Card => PaymentEvent::Captured { order, customer, amount: amount.into(), cds },
        }])
    }
}

impl Handle<PayInvoice> for Payment {
    fn handle(&self, PayInvoice { order }: PayInvoice) -> Result<Vec<PaymentEvent>, PaymentError> {
        match self.clone() {
            Self::Open { customer, amount, cds } => Ok(vec![PaymentEvent::Captured { order, customer, amount, cds }]),
            Self::Paid { .. } => Ok(Vec::new()),
            Self::Settled => Err(PaymentError::NoOpenInvoice),
        }
    }
}

impl Handle<CloseInvoice> for Payment {
    fn handle(&self, CloseInvoice { order }: CloseInvoice) -> Result<Vec<PaymentEvent>, PaymentError> {
        Ok(match self {
            Self::Open { .. } => vec![PaymentEvent::Overdue { order }],
            Self::Paid { .. } | Self::Settled => Vec::new(),
        })
    }
}

impl Handle<RefundPayment> for Payment {
    fn handle(&self, RefundPayment { order }: RefundPayment) -> Result<Vec<PaymentEvent>, PaymentError> {
        Ok(match self.clone() {
            Self::Paid { customer, amount } => vec![PaymentEvent::Refunded { order, customer, amount }],
            Self::Open { .. } => vec![PaymentEvent::Voided { order }],
            Self::Settled => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use recount_testing::given;

    use super::*;

    fn order() -> OrderId {
        "o1".to_owned().into()
    }

    fn capture(amount: i64, method: PaymentMethod) -> CapturePayment {
        CapturePayment {
            order: order(),
            customer: "f1-7".to_owned().into(),
            amount: Cents::from(amount),
            cds: 2,
            method,
        }
    }

    fn captured() -> PaymentEvent {
        let CapturePayment { order, customer, amount, cds, .. } = capture(1177, PaymentMethod::Card);
        PaymentEvent::Captured { order, customer, amount: amount.into(), cds }
    }

    fn invoiced() -> PaymentEvent {
        let CapturePayment { order, customer, amount, cds, .. } = capture(1177, PaymentMethod::Invoice);
        PaymentEvent::Invoiced { order, customer, amount: amount.into(), cds }
    }

    fn refunded() -> PaymentEvent {
        let CapturePayment { order, customer, amount, .. } = capture(1177, PaymentMethod::Card);
        PaymentEvent::Refunded { order, customer, amount: amount.into() }
    }

    #[test]
    fn an_order_is_paid_once() {
        given::<Payment>([]).when(capture(1177, PaymentMethod::Card)).then([captured()]);
        given::<Payment>([captured()]).when(capture(1177, PaymentMethod::Card)).then_already_exists();
    }

    #[test]
    fn a_free_order_has_nothing_to_pay() {
        for method in [PaymentMethod::Card, PaymentMethod::Invoice] {
            let CapturePayment { order, customer, cds, .. } = capture(0, method);
            given::<Payment>([]).when(capture(0, method)).then([PaymentEvent::Waived { order, customer, cds }]);
        }
    }

    #[test]
    fn a_declined_card_leaves_no_payment() {
        let declined = CapturePayment { customer: "f1-50".to_owned().into(), ..capture(1177, PaymentMethod::Card) };
        given::<Payment>([]).when(declined).then_error(PaymentError::Declined);
    }

    #[test]
    fn an_invoice_is_paid_until_it_is_closed() {
        let (pay, close) = (PayInvoice { order: order() }, CloseInvoice { order: order() });
        let overdue = PaymentEvent::Overdue { order: order() };
        given::<Payment>([]).when(capture(1177, PaymentMethod::Invoice)).then([invoiced()]);
        given::<Payment>([invoiced()]).when(pay.clone()).then([captured()]);
        given::<Payment>([invoiced()]).when(close.clone()).then([overdue.clone()]);
        given::<Payment>([invoiced(), captured()]).when(close).then([]);
        given::<Payment>([invoiced(), overdue]).when(pay).then_error(PaymentError::NoOpenInvoice);
    }

    #[test]
    fn what_was_paid_is_refunded_once() {
        let refund = RefundPayment { order: order() };
        given::<Payment>([captured()]).when(refund.clone()).then([refunded()]);
        given::<Payment>([captured(), refunded()]).when(refund.clone()).then([]);
        given::<Payment>([invoiced()]).when(refund).then([PaymentEvent::Voided { order: order() }]);
    }
}

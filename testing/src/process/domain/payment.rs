//! Payments.

use recount_core::{Aggregate, Apply, Command, Event, Handle};
use serde::{Deserialize, Serialize};

use super::{DECLINED, JAMMED, PAID_BY_HAND, UNANSWERED, UNREFUNDABLE};

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_payment", unlocked)]
pub enum PaymentEvent {
    Captured { order: u64 },
    Refunded { order: u64 },
    RefundPermitted { order: u64 },
}

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
    pub pieces: u32,
}

/// The customer pays without being asked.
#[derive(Clone, Debug, Command)]
#[command(aggregate = Payment)]
pub struct Pay {
    #[command(id)]
    pub order: u64,
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Payment)]
pub struct PermitRefund {
    #[command(id)]
    pub order: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PaymentError {
    #[error("the payment is declined")]
    Declined,
    #[error("the refund is not permitted")]
    NotPermitted,
}

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(name = "suite_payment", id = u64, event = PaymentEvent, error = PaymentError, commands(Capture, Refund, Pay, PermitRefund))]
pub struct Payment {
    permitted: bool,
}

impl Apply for Payment {
    fn apply(&mut self, event: &PaymentEvent) {
        self.permitted |= matches!(event, PaymentEvent::RefundPermitted { .. });
    }
}

impl Handle<Capture> for Payment {
    fn handle(&self, command: Capture) -> Result<Vec<PaymentEvent>, PaymentError> {
        match command.pieces {
            DECLINED => Err(PaymentError::Declined),
            UNANSWERED | JAMMED | PAID_BY_HAND => Ok(vec![]),
            _ => Ok(vec![PaymentEvent::Captured { order: command.order }]),
        }
    }
}

impl Handle<Refund> for Payment {
    fn handle(&self, command: Refund) -> Result<Vec<PaymentEvent>, PaymentError> {
        if command.pieces == UNREFUNDABLE && !self.permitted {
            return Err(PaymentError::NotPermitted);
        }
        Ok(vec![PaymentEvent::Refunded { order: command.order }])
    }
}

impl Handle<PermitRefund> for Payment {
    fn handle(&self, command: PermitRefund) -> Result<Vec<PaymentEvent>, PaymentError> {
        Ok(vec![PaymentEvent::RefundPermitted { order: command.order }])
    }
}

impl Handle<Pay> for Payment {
    fn handle(&self, command: Pay) -> Result<Vec<PaymentEvent>, PaymentError> {
        Ok(vec![PaymentEvent::Captured { order: command.order }])
    }
}

//! Customers at their desks: their answers to invoices. They are no part of the shop; the rule stands in for them.

use recount::{BoxError, Commands, Event, Reaction, RecordedEvent};

use crate::order::CancelOrder;
use crate::payment::{PayInvoice, PaymentEvent};
use crate::rule::{self, Answer};

/// The letters that customers get.
#[derive(Event, Clone, Debug)]
#[event(union)]
pub enum Letter {
    #[event(only(Invoiced))]
    Payment(PaymentEvent),
}

/// Hears of an invoice, and pays it, or cancels the order, or does nothing. A service takes the answers that are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Customers {
    /// All answers: all parts of the shop are in one program.
    Answering,
    /// The answers that pay, for the service with the payments.
    Paying,
    /// The answers that cancel, for the service with the orders.
    Cancelling,
}

impl Reaction for Customers {
    type Event = Letter;

    fn name(&self) -> &str {
        "customers"
    }

    async fn on(&self, letter: &Letter, _: &RecordedEvent) -> Result<Commands, BoxError> {
        let Letter::Payment(PaymentEvent::Invoiced { order, .. }) = letter else { return Ok(Commands::none()) };
        let order = order.clone();
        Ok(match rule::answer_to_invoice(&order) {
            // An invoice that was closed meanwhile can't be paid any more: that is an answer, too.
            Answer::Pays if *self != Self::Cancelling => Commands::send(PayInvoice { order }).refusal_is_done(),
            Answer::Cancels if *self != Self::Paying => Commands::send(CancelOrder { order }),
            _ => Commands::none(),
        })
    }
}

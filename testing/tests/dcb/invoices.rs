//! Gapless invoice numbers: one monotonic sequence without a counter to lock.

use std::convert::Infallible;

use recount_core::{Context, Decision, Event, NameError, Query};
use recount_testing::{given_events, given_nothing};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "invoice")]
pub(crate) enum InvoiceEvent {
    Created {
        #[event(tag)]
        number: u32,
    },
}

#[derive(Debug)]
pub(crate) struct CreateInvoice;

impl Decision for CreateInvoice {
    type Event = InvoiceEvent;
    type State = u32;
    type Error = Infallible;

    fn boundary(&self) -> Result<Query, NameError> {
        // Every event of the type.
        Ok(Query::all())
    }
    fn apply(&self, last: &mut u32, InvoiceEvent::Created { number }: &InvoiceEvent) {
        *last = *number;
    }
    fn decide(&self, last: &u32, _: &Context<'_>) -> Result<Vec<InvoiceEvent>, Infallible> {
        Ok(vec![InvoiceEvent::Created { number: last + 1 }])
    }
}

#[test]
fn case_19_the_first_invoice_is_number_1() {
    given_nothing().when(CreateInvoice).then([InvoiceEvent::Created { number: 1 }]);
}

#[test]
fn case_20_the_next_invoice_has_the_next_number() {
    given_events([InvoiceEvent::Created { number: 1 }])
        .and([super::courses::defined("c1", 99)])
        .when(CreateInvoice)
        .then([InvoiceEvent::Created { number: 2 }]);
}

extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::{Captured, OrderEvent};

#[derive(Event, Route)]
#[event(union)]
#[route(to = AccountId)]
enum Input {
    #[route(start, by = account)]
    Captured(Captured),
    #[event(only(Cancelled))]
    Order(OrderEvent),
}

fn main() {}

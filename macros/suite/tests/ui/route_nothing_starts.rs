extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::{Captured, OrderEvent};

#[derive(Event, Route)]
#[event(union)]
#[route(to = AccountId)]
enum Input {
    #[event(only(Placed, Cancelled))]
    #[route(by = account)]
    Order(OrderEvent),
    #[route(by = account)]
    Captured(Captured),
}

fn main() {}

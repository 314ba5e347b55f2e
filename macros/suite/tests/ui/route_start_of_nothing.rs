extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::OrderEvent;

#[derive(Event, Route)]
#[event(union)]
#[route(to = AccountId)]
enum Input {
    #[event(only(Placed))]
    #[route(start(), by = account)]
    Order(OrderEvent),
}

fn main() {}

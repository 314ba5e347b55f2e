extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::OrderEvent;

#[derive(Event, Route)]
#[event(union)]
#[route(to = AccountId)]
enum Input {
    #[event(only(Placed, Cancel))]
    #[route(start(Placed), by = account)]
    Order(OrderEvent),
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = AccountId)]
enum Others {
    #[event(only(Placed, Placed), what)]
    #[route(start, by = account)]
    Order(OrderEvent, u8),
}

fn main() {}

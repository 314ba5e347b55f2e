extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::{OrderEvent, accounts_of};

#[derive(Event, Route)]
#[event(union)]
#[route(to = AccountId)]
enum Input {
    #[route(with = accounts_of)]
    Order(OrderEvent),
}

fn main() {}

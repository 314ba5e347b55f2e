extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::AccountId;

#[derive(Event, Route)]
#[event(name = "order.placed")]
#[route(to = AccountId)]
struct Placed {
    account: AccountId,
}

fn main() {}

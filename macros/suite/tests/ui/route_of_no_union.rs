extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::AccountId;

#[derive(Event, Route)]
#[event(name = "order")]
#[route(to = AccountId)]
enum OrderEvent {
    Placed { account: AccountId },
}

fn main() {}

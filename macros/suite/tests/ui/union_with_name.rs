extern crate recount_core as recount;

use recount::Event;
use recount_macros_suite::AccountEvent;

#[derive(Event)]
#[event(union, name = "heard")]
enum Heard {
    Account(AccountEvent),
}

fn main() {}

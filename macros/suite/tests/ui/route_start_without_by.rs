extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::Captured;

#[derive(Event, Route)]
#[event(union)]
#[route(to = AccountId)]
enum Input {
    #[route(start)]
    Captured(Captured),
}

fn main() {}

extern crate recount_core as recount;

use recount::Route;
use recount_macros_suite::AccountId;
use recount_macros_suite::process::Captured;

#[derive(Route)]
#[event(union)]
#[route(to = AccountId)]
enum Input {
    #[route(start, by = account)]
    Captured(Captured),
}

fn main() {}

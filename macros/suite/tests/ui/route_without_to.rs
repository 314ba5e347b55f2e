extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::process::Captured;

#[derive(Event, Route)]
#[event(union)]
enum Input {
    #[route(start, by = account)]
    Captured(Captured),
}

fn main() {}

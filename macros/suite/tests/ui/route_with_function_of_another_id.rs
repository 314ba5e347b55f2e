extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::process::{WaveEvent, accounts_of};

#[derive(Event, Route)]
#[event(union)]
#[route(to = u64)]
enum Input {
    #[route(with = accounts_of)]
    Wave(WaveEvent),
}

fn main() {}

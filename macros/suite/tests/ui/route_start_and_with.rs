extern crate recount_core as recount;

use recount::{Event, Route};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::WaveEvent;

#[derive(Event, Route)]
#[event(union)]
#[route(to = AccountId)]
enum Input {
    #[route(start, with = recount_macros_suite::process::accounts_of)]
    Wave(WaveEvent),
}

fn main() {}

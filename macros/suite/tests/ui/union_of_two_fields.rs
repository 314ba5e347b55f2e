extern crate recount_core as recount;

use recount::Event;
use recount_macros_suite::{AccountEvent, OrderPlaced};

#[derive(Event)]
#[event(union)]
enum Heard {
    Both(AccountEvent, OrderPlaced),
}

fn main() {}

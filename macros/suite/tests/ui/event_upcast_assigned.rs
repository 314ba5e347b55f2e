extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened", version = 2, upcast = opened_v1)]
struct Opened;

fn opened_v1(_: u8) -> Opened {
    Opened
}

fn main() {}

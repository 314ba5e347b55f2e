extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened", upcast(v2))]
struct Opened;

fn v2(_: u16) -> Opened {
    Opened
}

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened")]
union Opened {
    a: u8,
}

fn main() {}

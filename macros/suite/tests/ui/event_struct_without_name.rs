extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
struct OrderPlaced {
    cds: u32,
}

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(union)]
enum Heard {
    Account(u8),
}

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = 5)]
struct Opened;

fn main() {}

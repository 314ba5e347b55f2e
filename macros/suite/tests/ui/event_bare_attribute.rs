extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event]
struct Opened;

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened", version = 0)]
struct Opened;

fn main() {}

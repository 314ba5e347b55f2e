extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "")]
struct Opened;

fn main() {}

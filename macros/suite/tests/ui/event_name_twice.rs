extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "a")]
#[event(name = "b")]
struct Opened;

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened", retired alias = "old")]
struct Opened;

fn main() {}

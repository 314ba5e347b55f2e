extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened", version = 2, upcast(|_: u8| Opened))]
struct Opened;

fn main() {}

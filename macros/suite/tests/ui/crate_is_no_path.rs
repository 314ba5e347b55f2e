extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened", crate = "not a path")]
struct Opened;

fn main() {}

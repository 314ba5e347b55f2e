extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened")]
struct Opened(#[event(tag)] String);

fn main() {}

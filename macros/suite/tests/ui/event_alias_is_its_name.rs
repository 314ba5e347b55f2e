extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened", alias = "account.opened")]
struct Opened;

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened", alias = "")]
struct Opened;

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened", retired = true)]
struct Opened;

fn main() {}

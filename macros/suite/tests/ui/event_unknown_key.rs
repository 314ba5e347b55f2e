extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account", verison = 2)]
enum AccountEvent {
    Opened,
}

fn main() {}

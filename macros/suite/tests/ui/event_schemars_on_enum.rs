extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account")]
#[schemars(title = "x")]
enum AccountEvent {
    Opened,
}

fn main() {}

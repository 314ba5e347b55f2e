extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account\0")]
enum AccountEvent {
    Opened,
}

fn main() {}

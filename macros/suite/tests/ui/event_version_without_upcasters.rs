extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account")]
enum AccountEvent {
    #[event(version = 3)]
    Opened,
}

fn main() {}

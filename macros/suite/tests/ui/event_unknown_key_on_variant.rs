extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account")]
enum AccountEvent {
    #[event(verison = 2)]
    Opened,
}

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account")]
#[serde(untagged)]
enum AccountEvent {
    Opened,
}

fn main() {}

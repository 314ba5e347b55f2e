extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account")]
#[serde(rename_all = "camelCase")]
enum AccountEvent {
    Opened,
}

fn main() {}

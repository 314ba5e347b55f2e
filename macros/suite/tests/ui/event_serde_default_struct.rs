extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened")]
#[serde(default)]
struct Opened {
    owner: String,
}

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened")]
struct Opened {
    #[serde(renam = "x")]
    owner: String,
}

fn main() {}

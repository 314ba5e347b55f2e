extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened")]
struct Opened {
    owner: Owner,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Owner;

fn main() {}

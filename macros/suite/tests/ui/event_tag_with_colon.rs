extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened")]
struct Opened {
    #[event(tag = "a:b")]
    owner: String,
}

fn main() {}

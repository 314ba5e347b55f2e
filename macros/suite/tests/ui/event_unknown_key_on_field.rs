extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened")]
struct Opened {
    #[event(tags)]
    owner: String,
}

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened")]
struct Opened<'a> {
    owner: &'a str,
}

fn main() {}

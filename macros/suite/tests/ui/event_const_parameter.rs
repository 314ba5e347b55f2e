extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened")]
struct Opened<const N: usize> {
    owners: [u8; N],
}

fn main() {}

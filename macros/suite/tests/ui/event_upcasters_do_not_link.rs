extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened", version = 3, upcast(v1, v2))]
struct Opened;

fn v1(old: u8) -> u32 {
    old.into()
}
fn v2(_: u16) -> Opened {
    Opened
}

fn main() {}

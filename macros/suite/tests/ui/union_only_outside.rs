extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "heard")]
enum Heard {
    #[event(only(Opened))]
    Account(u8),
}

fn main() {}

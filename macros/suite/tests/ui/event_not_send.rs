extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account.opened")]
struct Opened {
    owner: std::rc::Rc<u8>,
}

fn main() {}

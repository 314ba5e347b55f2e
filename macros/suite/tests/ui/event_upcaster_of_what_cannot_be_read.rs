extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "opened", version = 2, upcast(opened_v1))]
struct Opened;

struct OpenedV1;

fn opened_v1(_: OpenedV1) -> Opened {
    Opened
}

fn main() {}

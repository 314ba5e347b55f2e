extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
enum AccountEvent {
    Opened { owner: String },
}

fn main() {}

extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account")]
enum AccountEvent {
    #[event(version = 2, upcast(opened_v1))]
    Opened { owner: String },
}

fn opened_v1(owner: String) -> String {
    owner
}

fn main() {}

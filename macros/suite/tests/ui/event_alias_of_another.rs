extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account")]
enum AccountEvent {
    Opened,
    #[event(alias = "account.opened")]
    Reopened,
}

fn main() {}

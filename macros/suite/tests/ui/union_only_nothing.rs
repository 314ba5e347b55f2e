extern crate recount_core as recount;

use recount::Event;
use recount_macros_suite::AccountEvent;

#[derive(Event)]
#[event(union)]
enum Heard {
    #[event(only())]
    Account(AccountEvent),
}

fn main() {}

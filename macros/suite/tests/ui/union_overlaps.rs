extern crate recount_core as recount;

use recount::Event;
use recount_macros_suite::{AccountEvent, OrderPlaced};

#[derive(Event)]
#[event(union)]
enum Heard {
    #[event(only(Opened, Closed))]
    Account(AccountEvent),
    Order(OrderPlaced),
    #[event(only(Deposited, Closed))]
    Again(AccountEvent),
}

fn main() {}

extern crate recount_core as recount;

use recount::Event;
use recount_macros_suite::OrderPlaced;

#[derive(Event)]
#[event(union)]
enum Heard {
    #[event(only(Placed))]
    Order(OrderPlaced),
}

fn main() {}

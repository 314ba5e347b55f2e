extern crate recount_core as recount;

use recount::{Event, Route};

#[derive(Event)]
#[event(name = "paid")]
struct Paid {
    orders: Vec<u64>,
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = Vec<u64>)]
enum Input {
    #[route(start, by = orders)]
    Paid(Paid),
}

fn main() {}

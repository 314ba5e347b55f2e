extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "order")]
enum OrderEvent {
    Placed,
}

#[derive(Event)]
#[event(union, published)]
enum Messages {
    Order(OrderEvent),
}

fn main() {}

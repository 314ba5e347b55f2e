extern crate recount_core as recount;

use recount::{Event, Published};

#[derive(Event)]
#[event(name = "order")]
enum OrderEvent {
    Placed,
}

fn publish<E: Published>(_: E) {}

fn main() {
    publish(OrderEvent::Placed);
}

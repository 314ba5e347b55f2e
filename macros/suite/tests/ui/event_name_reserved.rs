extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "recount.started")]
struct Started {}

#[derive(Event)]
#[event(name = "recount")]
enum RecountEvent {
    Begun,
}

#[derive(Event)]
#[event(name = "order")]
enum OrderEvent {
    #[event(alias = "recount.refused")]
    Refused,
}

fn main() {}

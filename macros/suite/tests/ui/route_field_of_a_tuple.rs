extern crate recount_core as recount;

use recount::{Event, Route};

#[derive(Event)]
#[event(name = "door")]
enum DoorEvent {
    Opened(u64),
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = u64)]
enum Input {
    #[event(only(Opened))]
    #[route(start, by = door)]
    Door(DoorEvent),
}

fn main() {}

extern crate recount_core as recount;

use recount::{Aggregate, Apply, Command, Event, Handle};

#[derive(Event)]
#[event(name = "door", what)]
enum DoorEvent {
    Turned,
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "door", id = String, event = DoorEvent, error = std::fmt::Error, snapshot(every = 0, version = 1))]
struct Door;

#[derive(Command, Clone)]
#[command(aggregate = Door, creates)]
struct Turn {
    #[command(id)]
    door: String,
}

impl Apply for Door {
    fn apply(&mut self, _: &DoorEvent) {}
}

impl Handle<Turn> for Door {
    fn handle(&self, _: Turn) -> Result<Vec<DoorEvent>, std::fmt::Error> {
        Ok(vec![DoorEvent::Turned])
    }
}

fn main() {
    let _ = Door::commands().len() + DoorEvent::variants().len() + Turn::NAME.len();
}

extern crate recount_core as recount;

use recount::{Aggregate, Apply, Command, Event, Handle};

#[derive(Event)]
#[event(name = "turned")]
struct Turned;

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "door", id = String, event = Turned, error = std::fmt::Error, commands(Turn, Paint))]
struct Door;

impl Apply for Door {
    fn apply(&mut self, _: &Turned) {}
}

impl Handle<Turn> for Door {
    fn handle(&self, _: Turn) -> Result<Vec<Turned>, std::fmt::Error> {
        Ok(vec![Turned])
    }
}

#[derive(Command, Clone)]
#[command(aggregate = Door)]
struct Turn {
    #[command(id)]
    door: String,
}

#[derive(Command, Clone)]
#[command(aggregate = Door)]
struct Paint {
    #[command(id)]
    door: String,
}

fn main() {}

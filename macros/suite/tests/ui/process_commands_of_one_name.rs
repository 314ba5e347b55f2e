extern crate recount_core as recount;

use recount::{Aggregate, Apply, Command, Event, Handle, Moment, NoTimer, Process, Step};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::{Fact, Input};

#[derive(Event)]
#[event(name = "turned")]
struct Turned;

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "door", id = String, event = Turned, error = std::fmt::Error)]
struct Door;

impl Apply for Door {
    fn apply(&mut self, _: &Turned) {}
}

impl Handle<Turn> for Door {
    fn handle(&self, _: Turn) -> Result<Vec<Turned>, std::fmt::Error> {
        Ok(vec![Turned])
    }
}

impl Handle<Spin> for Door {
    fn handle(&self, _: Spin) -> Result<Vec<Turned>, std::fmt::Error> {
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
#[command(aggregate = Door, name = "turn")]
struct Spin {
    #[command(id)]
    door: String,
}

#[derive(Process, Clone, Default)]
#[process(name = "fulfilment", id = AccountId, input = Input, fact = Fact, commands(Turn, Spin))]
struct Fulfilment;

impl Process for Fulfilment {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::ignore()
    }

    fn due(&self, _: &NoTimer, _: &Moment) -> Step<Self> {
        Step::ignore()
    }
}

fn main() {}

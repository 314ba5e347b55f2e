extern crate recount_core as recount;

use recount::{Event, Moment, Process, ProcessDefinition, Route, Routed, Step, Timer};
use recount_macros_suite::process::{Captured, Fact};
use recount_macros_suite::{AccountId, Open};

#[derive(Event, Route)]
#[event(union)]
#[route(to = AccountId)]
enum Input {
    #[route(start, by = account, what)]
    Captured(Captured),
}

#[derive(Timer)]
enum Overdue {
    #[timer(what)]
    Payment,
}

#[derive(Process, Clone, Default)]
#[process(name = "fulfilment", id = AccountId, input = Input, fact = Fact, timer = Overdue, commands(Open), what)]
struct Fulfilment;

impl Process for Fulfilment {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::ignore()
    }

    fn due(&self, timer: &Overdue, _: &Moment) -> Step<Self> {
        Step::new().send(Open { account: AccountId::from("a".to_owned()), owner: timer.to_text().unwrap_or_default() })
    }
}

fn main() {
    let mut routed = Routed::new();
    Input::Captured(Captured { account: AccountId::from("a".to_owned()), cents: 1 }).route(&mut routed);
    let _ = Fulfilment::commands().len() + Input::ROUTES.len() + Overdue::NAMES.len();
}

extern crate recount_core as recount;

use recount::{Moment, Process, Step};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::{Fact, Input};

#[derive(Clone)]
enum Overdue {
    Payment,
}

#[derive(Process, Clone, Default)]
#[process(name = "fulfilment", id = AccountId, input = Input, fact = Fact, timer = Overdue, commands())]
struct Fulfilment;

impl Process for Fulfilment {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::ignore()
    }

    fn due(&self, _: &Overdue, _: &Moment) -> Step<Self> {
        Step::ignore()
    }
}

fn main() {}

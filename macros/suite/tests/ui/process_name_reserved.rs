extern crate recount_core as recount;

use recount::{Moment, NoTimer, Process, Step};
use recount_macros_suite::AccountId;
use recount_macros_suite::process::{Fact, Input};

#[derive(Process, Clone, Default)]
#[process(name = "recount.process", id = AccountId, input = Input, fact = Fact, commands())]
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

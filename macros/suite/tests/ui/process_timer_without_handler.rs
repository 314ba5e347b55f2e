extern crate recount_core as recount;

use recount::{Moment, Process, Step};
use recount_macros_suite::process::{Fact, Input, OrderTimer};
use recount_macros_suite::AccountId;

#[derive(Process, Clone, Default)]
#[process(name = "fulfilment", id = AccountId, input = Input, fact = Fact, timer = OrderTimer, commands())]
struct Fulfilment;

impl Process for Fulfilment {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::ignore()
    }

    fn due(&self, timer: &OrderTimer, _: &Moment) -> Step<Self> {
        match timer {
            OrderTimer::Overdue => Step::new().fact(Fact::Reminded),
        }
    }
}

fn main() {}

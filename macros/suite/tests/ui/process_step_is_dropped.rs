#![deny(unused_must_use)]

extern crate recount_core as recount;

use recount::{Moment, Process, Step};
use recount_macros_suite::process::{Fact, Input, OrderTimer};
use recount_macros_suite::{AccountId, Open};

#[derive(Process, Clone, Default)]
#[process(name = "fulfilment", id = AccountId, input = Input, fact = Fact, timer = OrderTimer, commands(Open))]
struct Fulfilment;

impl Process for Fulfilment {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::ignore()
    }

    fn due(&self, timer: &OrderTimer, _: &Moment) -> Step<Self> {
        if matches!(timer, OrderTimer::Overdue) {
            self.ask(AccountId::from("a".to_owned()));
        }
        Step::ignore()
    }
}

impl Fulfilment {
    fn ask(&self, account: AccountId) -> Step<Self> {
        let step = Step::<Self>::new();
        step.fact(Fact::Reminded).send(Open { account, owner: String::new() });
        Step::new()
    }
}

fn main() {}

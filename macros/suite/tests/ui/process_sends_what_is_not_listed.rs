extern crate recount_core as recount;

use recount::{Moment, Process, Step};
use recount_macros_suite::process::{Fact, Input, OrderTimer};
use recount_macros_suite::{AccountId, Deposit, Open};

#[derive(Process, Clone, Default)]
#[process(name = "fulfilment", id = AccountId, input = Input, fact = Fact, timer = OrderTimer, commands(Open))]
struct Fulfilment;

impl Process for Fulfilment {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::ignore()
    }

    fn due(&self, _: &OrderTimer, _: &Moment) -> Step<Self> {
        let account = AccountId::from("a".to_owned());
        let _ = Step::<Self>::new().send(Open { account: account.clone(), owner: String::new() });
        Step::new().send(Deposit { account, amount: Default::default() })
    }
}

fn main() {}

extern crate recount_core as recount;

use recount::Process;
use recount_macros_suite::AccountId;
use recount_macros_suite::process::{Fact, Input};

#[derive(Process, Clone, Default)]
#[process(name = "fulfilment", id = AccountId, input = Input, fact = Fact, commands())]
struct Fulfilment;

fn main() {}

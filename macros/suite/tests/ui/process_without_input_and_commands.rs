extern crate recount_core as recount;

use recount::Process;

#[derive(Process, Clone, Default)]
#[process(name = "fulfilment", id = recount_macros_suite::AccountId, fact = recount_macros_suite::process::Fact)]
struct Fulfilment;

fn main() {}

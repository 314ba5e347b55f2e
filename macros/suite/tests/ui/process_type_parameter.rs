extern crate recount_core as recount;

use recount::Process;

#[derive(Process, Clone, Default)]
#[process(name = "fulfilment", id = String, input = Input, fact = Fact, commands())]
struct Fulfilment<T> {
    last: Option<T>,
}

fn main() {}

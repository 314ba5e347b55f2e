extern crate recount_core as recount;

use recount::Process;

#[derive(Process, Clone, Default)]
struct Fulfilment;

fn main() {}

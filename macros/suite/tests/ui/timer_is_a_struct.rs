extern crate recount_core as recount;

use recount::Timer;

#[derive(Timer)]
struct Overdue;

fn main() {}

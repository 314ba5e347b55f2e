extern crate recount_core as recount;

use recount::Aggregate;

#[derive(Aggregate, Clone, Default)]
struct Account;

fn main() {}

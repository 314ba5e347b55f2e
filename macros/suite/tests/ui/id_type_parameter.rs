extern crate recount_core as recount;

use recount::Id;

#[derive(Id)]
struct AccountId<T>(T);

fn main() {}

extern crate recount_core as recount;

use recount::Id;

#[derive(Id)]
struct AccountId(Vec<u8>);

fn main() {}

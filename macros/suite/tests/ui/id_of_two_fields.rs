extern crate recount_core as recount;

use recount::Id;

#[derive(Id)]
struct AccountId(String, u8);

fn main() {}

extern crate recount_core as recount;

use recount::Id;

#[derive(Id)]
enum AccountId {
    Text(String),
}

fn main() {}

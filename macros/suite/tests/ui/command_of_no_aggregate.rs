extern crate recount_core as recount;

use recount::Command;

#[derive(Command, Clone)]
#[command(aggregate = String)]
struct Close {
    #[command(id)]
    account: String,
}

fn main() {}

extern crate recount_core as recount;

use recount::Command;
use recount_macros_suite::{Account, AccountId};

#[derive(Command, Clone)]
#[command(aggregate = Account)]
struct Close(#[command(id)] AccountId);

fn main() {}

extern crate recount_core as recount;

use recount::Aggregate;
use recount_macros_suite::{AccountEvent, AccountId, Refused};

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "recount.account", id = AccountId, event = AccountEvent, error = Refused)]
struct Account;

fn main() {}

extern crate recount_core as recount;

use recount::Aggregate;
use recount_macros_suite::{AccountEvent, AccountId};

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "account", id = AccountId, event = AccountEvent)]
struct Account;

fn main() {}

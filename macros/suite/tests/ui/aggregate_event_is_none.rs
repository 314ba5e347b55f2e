extern crate recount_core as recount;

use recount::Aggregate;
use recount_macros_suite::{AccountId, Refused};

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "account", id = AccountId, event = String, error = Refused)]
struct Account;

impl recount::Apply for Account {
    fn apply(&mut self, _: &String) {}
}

fn main() {}

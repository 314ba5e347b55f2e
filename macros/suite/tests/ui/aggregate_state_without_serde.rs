extern crate recount_core as recount;

use recount::Aggregate;
use recount_macros_suite::{AccountEvent, AccountId, Refused};

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "account", id = AccountId, event = AccountEvent, error = Refused, snapshot(every = 9, version = 1))]
struct Account {
    limits: Limits,
}

#[derive(Clone, Default)]
struct Limits;

impl recount::Apply for Account {
    fn apply(&mut self, _: &AccountEvent) {}
}

fn main() {}

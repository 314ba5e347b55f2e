extern crate recount_core as recount;

use recount::Event;
use recount_macros_suite::AccountEvent;

#[derive(Event)]
#[event(name = "account.paid_in")]
struct PaidIn;

#[derive(Event)]
#[event(name = "paid", alias = "account.opened")]
struct Paid;

#[derive(Event)]
#[event(union)]
enum NameIsAnAlias {
    Account(AccountEvent),
    Paid(PaidIn),
}

#[derive(Event)]
#[event(union)]
enum AliasIsAName {
    #[event(only(Opened))]
    Account(AccountEvent),
    Paid(Paid),
}

#[derive(Event)]
#[event(union)]
enum LeftOut {
    #[event(only(Closed))]
    Account(AccountEvent),
    Paid(Paid),
    PaidIn(PaidIn),
}

fn main() {}

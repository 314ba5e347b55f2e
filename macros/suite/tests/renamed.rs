//! A crate that knows recount under another name: there is no `recount` here at all.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as ledger;

mod events {
    pub(crate) use ledger as nested;
}

use ledger::{Aggregate, Apply, Command, Event, Handle, Id};

#[derive(Id, Clone, Debug)]
#[id(crate = "::ledger")]
struct AccountId(String);

#[derive(Event, Clone, Debug)]
#[event(name = "account", crate = "::ledger")]
enum AccountEvent {
    #[event(version = 2, upcast(opened_v1))]
    Opened {
        #[event(tag)]
        owner: String,
    },
}

fn opened_v1(owner: String) -> AccountEvent {
    AccountEvent::Opened { owner }
}

#[derive(Event, Clone, Debug)]
#[event(name = "order.placed", crate = "crate::events::nested")]
struct Placed {
    cds: u8,
}

#[derive(Event, Clone, Debug)]
#[event(union, crate = "ledger")]
enum All {
    #[event(only(Opened))]
    Account(AccountEvent),
    Order(Placed),
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "account", id = AccountId, event = AccountEvent, error = std::fmt::Error, commands(Open),
            snapshot(every = 1, version = 1), crate = "::ledger")]
struct Account {
    open: bool,
}

impl Apply for Account {
    fn apply(&mut self, _: &AccountEvent) {
        self.open = true;
    }
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Account, crate = "::ledger")]
struct Open {
    #[command(id)]
    id: AccountId,
}

impl Handle<Open> for Account {
    fn handle(&self, command: Open) -> Result<Vec<AccountEvent>, std::fmt::Error> {
        Ok(vec![AccountEvent::Opened { owner: command.id.to_string() }])
    }
}

#[test]
fn everything_works_under_another_name() {
    let events = Account::default().handle(Open { id: "Ada".parse().unwrap() }).unwrap();
    let data = All::Account(events[0].clone()).encode().unwrap();
    assert_eq!(data.tags[0].as_str(), "owner:Ada");
    let All::Account(AccountEvent::Opened { owner }) = All::decode("account.opened", 1, b"\"Bob\"").unwrap() else {
        panic!("another event");
    };
    assert_eq!(owner, "Bob");
    assert!(matches!(All::decode("order.placed", 1, br#"{"cds":1}"#), Ok(All::Order(Placed { cds: 1 }))));
    assert_eq!(Account::commands()[0].name, "open");
    assert!(Account::SNAPSHOT.is_some());
}

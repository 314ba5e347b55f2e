//! A crate that knows recount under another name: there is no `recount` here at all.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as ledger;

mod events {
    pub(crate) use ledger as nested;
}

use ledger::{
    Aggregate, Apply, Command, Event, Handle, Id, Moment, Process, ProcessDefinition, Route, Routed, Step, Timer,
};

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

#[derive(Event, Route, Clone, Debug)]
#[event(union, crate = "ledger")]
#[route(to = u8, crate = "crate::events::nested")]
enum Input {
    #[route(start, by = cds)]
    Order(Placed),
    #[event(only(Opened))]
    #[route(with = every_owner)]
    Account(AccountEvent),
}

fn every_owner(_: &AccountEvent, routed: &mut Routed<u8>) {
    routed.to(0);
}

#[derive(Timer, Clone, Debug, PartialEq)]
#[timer(crate = "::ledger")]
enum Overdue {
    Payment { days: Option<u8> },
}

#[derive(Process, Clone, Debug, Default)]
#[process(name = "fulfilment", id = u8, input = Input, fact = Placed, timer = Overdue, commands(Open), crate = "::ledger")]
struct Fulfilment;

impl Process for Fulfilment {
    fn apply(&mut self, _: &Placed) {}
    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::new().compensate()
    }
    fn due(&self, _: &Overdue, _: &Moment) -> Step<Self> {
        Step::ignore()
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

    let mut routed = Routed::new();
    Input::Order(Placed { cds: 1 }).route(&mut routed);
    Input::Account(events[0].clone()).route(&mut routed);
    let mut expected = Routed::new();
    expected.start(1);
    expected.to(0);
    assert_eq!(routed, expected);
    let overdue = Overdue::Payment { days: Some(3) };
    assert_eq!(Overdue::from_text(&overdue.to_text().unwrap()).unwrap(), overdue);
    assert_eq!((Fulfilment::NAME, Fulfilment::commands().len()), ("fulfilment", 1));
}

//! Choices of other event types.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use recount::{DecodeError, EncodeError, Event, EventData, EventType, EventVariant, codec};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "account")]
enum AccountEvent {
    Opened {
        #[event(tag)]
        owner: String,
    },
    #[event(version = 2, upcast(deposited_v1), alias = "paid")]
    Deposited(i64),
    Closed,
}

fn deposited_v1(text: String) -> AccountEvent {
    text.parse().map_or(AccountEvent::Closed, AccountEvent::Deposited)
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "order.placed")]
struct OrderPlaced {
    cds: u32,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(union)]
enum All {
    Account(AccountEvent),
    Order(OrderPlaced),
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(union)]
enum Some_ {
    #[event(only(Deposited, Closed))]
    Account(AccountEvent),
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(union)]
enum Nested {
    #[event(only(Order))]
    All(All),
    Some(Some_),
}

/// The same event type twice, without overlap.
#[derive(Event, Clone, Debug, PartialEq)]
#[event(union)]
enum Split {
    #[event(only(Opened))]
    Start(AccountEvent),
    #[event(only(Closed))]
    End(AccountEvent),
}

/// Written by hand.
#[derive(Clone, Debug, PartialEq)]
struct Manual(u8);

impl Event for Manual {
    fn variants() -> Vec<EventVariant> {
        vec![EventVariant {
            event_type: "manual",
            schema_version: 1,
            aliases: &["by.hand"],
            retired: false,
            schema: || schemars::schema_for!(u8),
            form: recount_core::shape::Form::Leaf("u8"),
            upcasters: &[],
            rust_type: recount_core::RustType::of::<Self>,
        }]
    }
    fn encode(&self) -> Result<EventData, EncodeError> {
        Ok(EventData::new(EventType::new("manual")?, codec::to_json("manual", &self.0)?))
    }
    fn decode(event_type: &str, version: u32, payload: &[u8]) -> Result<Self, DecodeError> {
        codec::from_json(event_type, version, payload).map(Self)
    }
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(union)]
enum WithManual {
    Manual(Manual),
    Order(OrderPlaced),
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(union)]
enum Outer {
    Inner(WithManual),
    Account(AccountEvent),
}

fn names<E: Event>() -> Vec<&'static str> {
    E::variants().iter().map(|variant| variant.event_type).collect()
}

#[test]
fn a_union_reads_what_its_parts_read() {
    assert_eq!(names::<All>(), ["account.opened", "account.deposited", "account.closed", "order.placed"]);
    let data = AccountEvent::Opened { owner: "Ada".into() }.encode().unwrap();
    let read = All::decode("account.opened", 1, &data.payload).unwrap();
    assert_eq!(read, All::Account(AccountEvent::Opened { owner: "Ada".into() }));
    let written = read.encode().unwrap();
    assert_eq!((written.event_type, written.payload, written.tags), (data.event_type, data.payload, data.tags));
    assert_eq!(All::decode("order.placed", 1, br#"{"cds":2}"#).unwrap(), All::Order(OrderPlaced { cds: 2 }));
    assert!(matches!(All::decode("order", 1, b"{}"), Err(DecodeError::UnknownType { .. })));
    assert!(matches!(All::decode("order.placed", 2, b"{}"), Err(DecodeError::UnknownVersion { .. })));
}

#[test]
fn old_events_are_upcast() {
    assert_eq!(All::decode("paid", 1, br#""5""#).unwrap(), All::Account(AccountEvent::Deposited(5)));
    assert_eq!(Some_::decode("account.deposited", 1, br#""5""#).unwrap(), Some_::Account(AccountEvent::Deposited(5)));
}

#[test]
fn only_what_is_named_is_read_and_written() {
    assert_eq!(names::<Some_>(), ["account.deposited", "account.closed"]);
    assert!(matches!(Some_::decode("account.opened", 1, b"{}"), Err(DecodeError::UnknownType { .. })));
    assert_eq!(Some_::decode("paid", 2, b"7").unwrap(), Some_::Account(AccountEvent::Deposited(7)));
    assert_eq!(Some_::Account(AccountEvent::Closed).encode().unwrap().event_type.as_str(), "account.closed");
    let error = Some_::Account(AccountEvent::Opened { owner: "Ada".into() }).encode().unwrap_err();
    assert!(matches!(&error, EncodeError::NotInUnion { event_type } if event_type.as_str() == "account.opened"));
}

#[test]
fn unions_nest() {
    assert_eq!(names::<Nested>(), ["order.placed", "account.deposited", "account.closed"]);
    let placed = Nested::decode("order.placed", 1, br#"{"cds":2}"#).unwrap();
    assert_eq!(placed, Nested::All(All::Order(OrderPlaced { cds: 2 })));
    assert_eq!(placed.encode().unwrap().event_type.as_str(), "order.placed");
    assert!(Nested::decode("account.opened", 1, b"{}").is_err());
    assert_eq!(Nested::decode("account.closed", 1, b"{}").unwrap(), Nested::Some(Some_::Account(AccountEvent::Closed)));
}

#[test]
fn one_event_type_may_be_split() {
    assert_eq!(names::<Split>(), ["account.opened", "account.closed"]);
    assert_eq!(Split::decode("account.closed", 1, b"{}").unwrap(), Split::End(AccountEvent::Closed));
    assert!(Split::Start(AccountEvent::Closed).encode().is_err());
}

#[test]
fn events_written_by_hand_take_part() {
    assert_eq!(names::<Outer>(), ["manual", "order.placed", "account.opened", "account.deposited", "account.closed"]);
    assert_eq!(Outer::decode("by.hand", 1, b"3").unwrap(), Outer::Inner(WithManual::Manual(Manual(3))));
    assert_eq!(Outer::decode("account.closed", 1, b"{}").unwrap(), Outer::Account(AccountEvent::Closed));
    assert!(matches!(Outer::decode("other", 1, b"{}"), Err(DecodeError::UnknownType { .. })));
}

//! Streams and snapshots of aggregates.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use recount::{Aggregate, Apply, Event, Id};
use recount_macros_suite::{Account, AccountEvent, AccountId};

#[derive(Id, Clone, Debug)]
struct DoorId(String);

#[derive(Event, Clone, Debug)]
#[event(name = "door.turned")]
struct Turned;

#[derive(Aggregate, Clone, Debug, Default, PartialEq)]
#[aggregate(name = "door", id = DoorId, event = Turned, error = std::fmt::Error, snapshot(every = 2, version = 3))]
enum Door {
    #[default]
    #[serde(rename = "shut")]
    Closed,
    Open {
        #[serde(default)]
        turns: u8,
    },
    Stuck(Vec<u8>),
}

impl Apply for Door {
    fn apply(&mut self, _: &Turned) {
        *self = Self::Open { turns: 1 };
    }
}

#[derive(Clone, Debug, Default)]
struct NotSerde;

/// Neither commands nor snapshots: its fields need no serde.
#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "plain", id = DoorId, event = Turned, error = std::fmt::Error, commands())]
struct Plain {
    _not_serde: NotSerde,
}

impl Apply for Plain {
    fn apply(&mut self, _: &Turned) {}
}

#[test]
fn a_stream_is_named_by_category_and_id() {
    assert_eq!(Account::NAME, "account");
    assert_eq!(Account::stream(&AccountId::from("42".to_owned())).unwrap().to_string(), "account/42");
    assert!(Account::stream(&AccountId::from(String::new())).is_err());
}

#[test]
fn a_snapshot_brings_the_state_back() {
    let snapshot = Account::SNAPSHOT.unwrap();
    assert_eq!((snapshot.every, snapshot.version), (500, 1));
    let mut account = Account::default();
    account.apply(&AccountEvent::Opened { owner: "Ada".into() });
    let json = (snapshot.encode)(&account).unwrap();
    assert_eq!(std::str::from_utf8(&json).unwrap(), r#"{"open":true,"cents":0}"#);
    assert_eq!((snapshot.decode)(&json).unwrap(), account);
    for broken in ["", "{}", "null", r#"{"open":true,"cents":0}x"#] {
        assert!((snapshot.decode)(broken.as_bytes()).is_err(), "{broken}");
    }
}

#[test]
fn a_state_may_be_an_enum() {
    let snapshot = Door::SNAPSHOT.unwrap();
    for (state, json) in [
        (Door::Closed, r#"{"shut":{}}"#),
        (Door::Open { turns: 3 }, r#"{"Open":{"turns":3}}"#),
        (Door::Stuck(vec![1]), r#"{"Stuck":[1]}"#),
    ] {
        assert_eq!(String::from_utf8((snapshot.encode)(&state).unwrap()).unwrap(), json);
        assert_eq!((snapshot.decode)(json.as_bytes()).unwrap(), state);
    }
    assert_eq!((snapshot.decode)(br#"{"Open":{}}"#).unwrap(), Door::Open { turns: 0 });
}

#[test]
fn no_snapshot_unless_asked_for() {
    assert!(Plain::SNAPSHOT.is_none());
    assert!(Plain::commands().is_empty());
}

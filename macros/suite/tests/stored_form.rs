//! What is written, byte for byte, and what is read from it.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use recount::{DecodeError, EncodeError, Event};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "thing")]
enum Thing {
    Named {
        first: String,
        second: u8,
    },
    Unit,
    EmptyBraces {},
    Newtype(Vec<u8>),
    Tuple(u8, String),
    EmptyTuple(),
    r#Type {
        r#type: u8,
    },
    #[event(name = "else.where")]
    Renamed,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "order.placed", version = 1)]
struct Placed {
    cds: u32,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "unit.struct")]
struct UnitStruct;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "newtype.struct")]
struct Newtype(u8);

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "tuple.struct")]
struct Tuple(u8, bool);

#[track_caller]
fn is_stored_as<E: Event + PartialEq + std::fmt::Debug>(event: E, event_type: &str, payload: &str) {
    let data = event.encode().unwrap();
    assert_eq!(data.event_type.as_str(), event_type);
    assert_eq!(data.schema_version, 1);
    assert_eq!(std::str::from_utf8(&data.payload).unwrap(), payload);
    assert_eq!(E::decode(event_type, 1, payload.as_bytes()).unwrap(), event);
    let unspaced = format!(" {payload}\n");
    assert_eq!(E::decode(event_type, 1, unspaced.as_bytes()).unwrap(), event);
}

#[test]
fn each_kind_of_variant_has_its_form() {
    is_stored_as(Thing::Named { first: "a".into(), second: 2 }, "thing.named", r#"{"first":"a","second":2}"#);
    is_stored_as(Thing::Unit, "thing.unit", "{}");
    is_stored_as(Thing::EmptyBraces {}, "thing.empty_braces", "{}");
    is_stored_as(Thing::Newtype(vec![1, 2]), "thing.newtype", "[1,2]");
    is_stored_as(Thing::Tuple(1, "b".into()), "thing.tuple", r#"[1,"b"]"#);
    is_stored_as(Thing::EmptyTuple(), "thing.empty_tuple", "[]");
    is_stored_as(Thing::Type { r#type: 3 }, "thing.type", r#"{"type":3}"#);
    is_stored_as(Thing::Renamed, "thing.else.where", "{}");
}

#[test]
fn each_kind_of_struct_has_its_form() {
    is_stored_as(Placed { cds: 3 }, "order.placed", r#"{"cds":3}"#);
    is_stored_as(UnitStruct, "unit.struct", "{}");
    is_stored_as(Newtype(7), "newtype.struct", "7");
    is_stored_as(Tuple(7, true), "tuple.struct", "[7,true]");
}

#[test]
fn a_field_may_be_added_to_a_unit_variant() {
    #[derive(Event, Debug, PartialEq)]
    #[event(name = "thing")]
    enum Later {
        Unit {
            #[serde(default)]
            note: Option<String>,
        },
    }
    assert_eq!(Later::decode("thing.unit", 1, b"{}").unwrap(), Later::Unit { note: None });
}

#[test]
fn fields_that_are_unknown_are_ignored() {
    assert_eq!(Placed::decode("order.placed", 1, br#"{"cds":1,"new":[{}]}"#).unwrap(), Placed { cds: 1 });
    assert_eq!(Thing::decode("thing.unit", 1, br#"{"new":1}"#).unwrap(), Thing::Unit);
}

#[test]
fn other_shapes_are_refused() {
    let refused = |event_type: &str, payload: &str| match Thing::decode(event_type, 1, payload.as_bytes()) {
        Err(DecodeError::Payload { event_type: named, schema_version: 1, .. }) => assert_eq!(named, event_type),
        other => panic!("{payload}: {other:?}"),
    };
    for payload in ["", "null", "[]", r#"["a",2]"#, r#"{"first":"a"}"#, r#"{"first":"a","second":256}"#, "{", "{}{}"] {
        refused("thing.named", payload);
    }
    refused("thing.unit", "{}x");
    refused("thing.unit", "null");
    refused("thing.tuple", "[1]");
    refused("thing.tuple", r#"[1,"b",2]"#);
    refused("thing.newtype", "{}");
    assert!(Placed::decode("order.placed", 1, b"[3]").is_err());
    assert!(Placed::decode("order.placed", 1, b"{\"cds\":3} {}").is_err());
}

#[test]
fn types_and_versions_that_are_unknown_are_told_apart() {
    for unknown in ["thing.nothing", "thing", "", "named", "thing.Named"] {
        assert!(matches!(Thing::decode(unknown, 1, b"{}"), Err(DecodeError::UnknownType { .. })), "{unknown}");
    }
    for version in [0, 2, u32::MAX] {
        let error = Thing::decode("thing.unit", version, b"{}").unwrap_err();
        assert!(
            matches!(&error, DecodeError::UnknownVersion { found, known: 1, .. } if *found == version),
            "{version}: {error:?}"
        );
    }
}

#[test]
fn what_nests_too_deep_to_be_read_is_not_written() {
    #[derive(Event)]
    #[event(name = "deep")]
    struct Deep(serde_json::Value);
    let nested = |levels| Deep((0..levels).fold(serde_json::Value::Null, |inner, _| vec![inner].into()));
    let data = nested(127).encode().unwrap();
    assert!(Deep::decode("deep", 1, &data.payload).is_ok());
    assert!(matches!(nested(128).encode(), Err(EncodeError::Payload { event_type: "deep", .. })));
}

#[test]
fn what_is_read_is_listed() {
    let variants = Thing::variants();
    let names: Vec<_> = variants.iter().map(|variant| variant.event_type).collect();
    assert_eq!(
        names,
        [
            "thing.named",
            "thing.unit",
            "thing.empty_braces",
            "thing.newtype",
            "thing.tuple",
            "thing.empty_tuple",
            "thing.type",
            "thing.else.where"
        ]
    );
    assert!(variants.iter().all(|v| v.schema_version == 1 && v.aliases.is_empty() && !v.retired));
    assert_eq!(Placed::variants()[0].event_type, "order.placed");
}

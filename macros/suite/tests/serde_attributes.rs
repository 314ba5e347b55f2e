//! Attributes of serde and schemars on events, and the schemas that come of them.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use std::collections::BTreeMap;

use recount::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Address {
    city: String,
    country: Country,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Country {
    De,
    Fr,
}

/// The docs of the enum.
#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "e")]
#[serde(rename_all_fields = "camelCase")]
enum E {
    /// Somebody moved.
    Moved {
        #[serde(rename = "to", alias = "whereTo")]
        to_address: Address,
        /// When it was.
        moved_at: u64,
    },
    Optional {
        #[serde(default = "seven")]
        number: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        #[serde(skip)]
        cache: u8,
        #[serde(with = "as_text")]
        #[schemars(with = "String")]
        text: u32,
    },
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    Flat {
        own_field: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, Value>,
    },
    Newtype(Address),
    Unit,
    #[schemars(title = "a pair")]
    Pair(u8, #[schemars(range(max = 5))] u8),
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "strict")]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Strict {
    first_field: u8,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "lenient")]
struct Lenient {
    a: u8,
    #[serde(default)]
    b: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "flat")]
struct FlatStruct {
    #[serde(flatten)]
    address: Address,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "x")]
#[serde(deny_unknown_fields)]
enum StrictEnum {
    A { a: u8 },
}

fn seven() -> u8 {
    7
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[track_caller]
fn round_trip<T: Event + PartialEq + std::fmt::Debug>(event: T, payload: Value) {
    let data = event.encode().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&data.payload).unwrap(), payload);
    assert_eq!(T::decode(data.event_type.as_str(), 1, &data.payload).unwrap(), event);
}

fn berlin() -> Address {
    Address { city: "Berlin".into(), country: Country::De }
}

#[test]
fn attributes_of_fields_are_respected() {
    let address = json!({"city": "Berlin", "country": "De"});
    round_trip(E::Moved { to_address: berlin(), moved_at: 1 }, json!({"to": address, "movedAt": 1}));
    assert_eq!(
        E::decode("e.moved", 1, json!({"whereTo": address, "movedAt": 1}).to_string().as_bytes()).unwrap(),
        E::Moved { to_address: berlin(), moved_at: 1 }
    );
    round_trip(E::Optional { number: 1, note: None, cache: 0, text: 5 }, json!({"number": 1, "text": "5"}));
    round_trip(
        E::Optional { number: 1, note: Some("n".into()), cache: 0, text: 5 },
        json!({"number": 1, "note": "n", "text": "5"}),
    );
    assert_eq!(
        E::decode("e.optional", 1, br#"{"text":"5","cache":9}"#).unwrap(),
        E::Optional { number: 7, note: None, cache: 0, text: 5 }
    );
    round_trip(
        E::Flat { own_field: 1, rest: [("else".to_owned(), json!([1]))].into() },
        json!({"OWN_FIELD": 1, "else": [1]}),
    );
    round_trip(E::Newtype(berlin()), address);
    round_trip(E::Pair(1, 2), json!([1, 2]));
}

#[test]
fn attributes_of_types_are_respected() {
    round_trip(Strict { first_field: 1 }, json!({"first-field": 1}));
    assert!(Strict::decode("strict", 1, br#"{"first-field":1,"x":1}"#).is_err());
    assert!(StrictEnum::decode("x.a", 1, br#"{"a":1,"x":1}"#).is_err());
    assert_eq!(Lenient::decode("lenient", 1, br#"{"a":1}"#).unwrap(), Lenient { a: 1, b: String::new() });
    round_trip(FlatStruct { address: berlin() }, json!({"city": "Berlin", "country": "De"}));
}

fn schema<T: Event>(index: usize) -> Value {
    (T::variants()[index].schema)().to_value()
}

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

#[test]
fn each_variant_has_a_schema_of_its_own() {
    let country = json!({"type": "string", "enum": ["De", "Fr"]});
    let address = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "country": {"$ref": "#/$defs/Country"}},
        "required": ["city", "country"],
    });
    let definitions = json!({"Address": address, "Country": country});
    assert_eq!(
        schema::<E>(0),
        json!({
            "$schema": DIALECT,
            "description": "Somebody moved.",
            "type": "object",
            "properties": {
                "to": {"$ref": "#/$defs/Address"},
                "movedAt": {"description": "When it was.", "type": "integer", "format": "uint64", "minimum": 0},
            },
            "required": ["to", "movedAt"],
            "$defs": definitions,
        })
    );
    assert_eq!(schema::<E>(3), json!({"$schema": DIALECT, "$ref": "#/$defs/Address", "$defs": definitions}));
    assert_eq!(schema::<E>(4), json!({"$schema": DIALECT, "type": "object"}));
    let pair = schema::<E>(5);
    assert_eq!((&pair["title"], &pair["prefixItems"][1]["maximum"]), (&json!("a pair"), &json!(5)));
    assert_eq!(pair.get("$defs"), None);
}

#[test]
fn a_structs_schema_is_that_of_its_fields() {
    assert_eq!(
        schema::<Strict>(0),
        json!({
            "$schema": DIALECT,
            "type": "object",
            "properties": {"first-field": {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}},
            "required": ["first-field"],
            "additionalProperties": false,
        })
    );
}

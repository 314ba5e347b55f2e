//! `encode` refuses events that would not decode to an equal value.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::Debug;

use proptest::prelude::*;
use recount::{EncodeError, Event, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fn chain(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

/// Asserts that the event is refused with an error that contains the field's name and these words.
#[track_caller]
fn refused<E: Event + Debug>(event: &E, field: &str, words: &str) {
    match event.encode() {
        Ok(data) => {
            let json = String::from_utf8_lossy(&data.payload).into_owned();
            let back = E::decode(data.event_type.as_str(), data.schema_version, &data.payload);
            panic!("{event:?} was written as {json}, and this came back: {back:?}");
        }
        Err(error) => {
            let said = chain(&error);
            assert!(said.contains(&format!("`{field}`")) && said.contains(words), "{field}, {words}: {said}");
        }
    }
}

/// Asserts that the event decodes to an equal event.
#[track_caller]
fn kept<E: Event + Debug + PartialEq>(event: &E) {
    let data = event.encode().unwrap();
    let back = E::decode(data.event_type.as_str(), data.schema_version, &data.payload).unwrap();
    assert_eq!(&back, event);
}

#[derive(Shape, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
struct Item {
    price: f64,
    weight: f32,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "measured")]
enum Measured {
    Plain { value: f64 },
    Half { value: f32 },
    Perhaps { value: Option<f64> },
    Listed { items: Vec<Item> },
    Mapped { rates: HashMap<String, Vec<f64>> },
    Paired((u8, f64), f64),
    Whole { count: u64, name: String, note: Option<String> },
}

#[test]
fn numbers_that_json_does_not_have_are_refused_with_their_field() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(&Measured::Plain { value }, "value", "finite");
        refused(&Measured::Perhaps { value: Some(value) }, "value", "finite");
        let item = |price| Item { price, weight: 1.0 };
        refused(&Measured::Listed { items: vec![item(1.0), item(2.0), item(value)] }, "items[2].price", "finite");
        let rates = HashMap::from([("eur".to_owned(), vec![1.0, value])]);
        refused(&Measured::Mapped { rates }, "rates.eur[1]", "finite");
        refused(&Measured::Paired((1, value), 1.0), "[0][1]", "finite");
    }
    refused(&Measured::Half { value: f32::NAN }, "value", "finite");
    let item = Item { price: 1.0, weight: f32::INFINITY };
    refused(&Measured::Listed { items: vec![item] }, "items[0].weight", "finite");
}

#[test]
fn ordinary_numbers_are_kept() {
    for value in [0.0, -0.0, 0.1 + 0.2, f64::MAX, f64::MIN_POSITIVE, 5e-324] {
        kept(&Measured::Plain { value });
        kept(&Measured::Perhaps { value: Some(value) });
        kept(&Measured::Paired((1, value), value));
    }
    for value in [0.1, f32::MAX, f32::MIN_POSITIVE, 1e-45, 16_777_217.0] {
        kept(&Measured::Half { value });
    }
    kept(&Measured::Perhaps { value: None });
    kept(&Measured::Whole { count: u64::MAX, name: "null".into(), note: None });
    kept(&Measured::Mapped { rates: HashMap::from([("a".into(), vec![1.0]), ("b".into(), vec![])]) });
}

/// A value type without `Shape`: its form is unknown.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
struct Rest {
    by_number: BTreeMap<u32, String>,
    wide: Option<u128>,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
struct Named {
    id: u8,
    name: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(tag = "by")]
enum Paid {
    Card { number: String, rates: BTreeMap<u32, String> },
    Wide { amount: i128 },
    Cash,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(untagged)]
enum Amount {
    Cents { value: u64 },
    Points { value: u64 },
    Share(f64),
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "form")]
enum Form {
    Flat {
        id: u8,
        #[serde(flatten)]
        rest: Rest,
    },
    Twice {
        id: u8,
        #[serde(flatten)]
        named: Named,
    },
    FlatMap {
        id: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, Value>,
    },
    Tagged {
        paid: Vec<Paid>,
    },
    Untagged {
        amount: Amount,
    },
    Nested {
        rest: Rest,
    },
}

fn rest(by_number: &[(u32, &str)], wide: Option<u128>) -> Rest {
    Rest { by_number: by_number.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(), wide }
}

#[test]
fn maps_and_wide_numbers_within_flattened_fields_and_tagged_enums_are_refused() {
    refused(&Form::Flat { id: 1, rest: rest(&[(1, "a")], None) }, "by_number", "keys");
    refused(&Form::Flat { id: 1, rest: rest(&[], Some(1)) }, "wide", "128");
    kept(&Form::Flat { id: 1, rest: rest(&[], None) });
    kept(&Form::Nested { rest: rest(&[(1, "a")], Some(u128::MAX)) });
    let card = |rates: &[(u32, &str)]| Paid::Card { number: "1".into(), rates: rest(rates, None).by_number };
    refused(&Form::Tagged { paid: vec![Paid::Cash, card(&[(1, "a")])] }, "paid[1].rates", "keys");
    refused(&Form::Tagged { paid: vec![Paid::Wide { amount: -1 }] }, "paid[0].amount", "128");
    kept(&Form::Tagged { paid: vec![Paid::Cash, card(&[])] });
}

#[test]
fn a_field_and_a_flattened_field_of_one_name_are_refused() {
    refused(&Form::Twice { id: 1, named: Named { id: 2, name: "n".into() } }, "id", "twice");
    refused(&Form::FlatMap { id: 1, rest: [("id".to_owned(), json!(2))].into() }, "id", "twice");
    kept(&Form::FlatMap { id: 1, rest: [("other".to_owned(), json!([u64::MAX, null, -1]))].into() });
}

#[test]
fn a_variant_of_an_untagged_enum_that_reads_as_another_is_refused() {
    kept(&Form::Untagged { amount: Amount::Cents { value: 1 } });
    refused(&Form::Untagged { amount: Amount::Points { value: 1 } }, "amount", "untagged");
    refused(&Form::Untagged { amount: Amount::Share(f64::NAN) }, "amount", "finite");
    kept(&Form::Untagged { amount: Amount::Share(1.0) });
}

/// Without `PartialEq`, values are still compared by their tokens.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[serde(untagged)]
enum Overlapping {
    Small(u32),
    Large(u64),
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
struct Doubly<T>(Option<T>);

#[derive(Event, Clone, Debug)]
#[event(name = "value")]
enum Valued {
    Overlapping { amount: Overlapping },
    Twice { note: Doubly<Doubly<u8>> },
    Unit { note: Doubly<()> },
    Any { note: Option<Value> },
    Sized { limits: BTreeMap<String, Doubly<Doubly<u8>>> },
}

#[test]
fn options_of_values_written_as_null_are_refused() {
    refused(&Valued::Overlapping { amount: Overlapping::Large(1) }, "amount", "would come back as");
    assert!(Valued::Overlapping { amount: Overlapping::Large(u64::MAX) }.encode().is_ok());
    refused(&Valued::Twice { note: Doubly(Some(Doubly(None))) }, "note", "None");
    assert!(Valued::Twice { note: Doubly(Some(Doubly(Some(1)))) }.encode().is_ok());
    assert!(Valued::Twice { note: Doubly(None) }.encode().is_ok());
    refused(&Valued::Unit { note: Doubly(Some(())) }, "note", "None");
    refused(&Valued::Any { note: Some(Value::Null) }, "note", "None");
    assert!(Valued::Any { note: Some(json!({"a": null})) }.encode().is_ok());
    let limits = [("a".to_owned(), Doubly(Some(Doubly(None))))].into();
    refused(&Valued::Sized { limits }, "limits.a", "None");
}

/// A value type without `Shape`, with keys of all kinds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
struct Keyed {
    by_pair: BTreeMap<(u8, u8), u8>,
    by_option: BTreeMap<Option<u8>, u8>,
    by_name: BTreeMap<Day, u8>,
    by_flag: BTreeMap<bool, u8>,
    by_wide: BTreeMap<i128, char>,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Day {
    Monday,
    Later(u8),
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "keyed")]
struct AllKeyed {
    all: Vec<Keyed>,
}

#[test]
fn keys_that_json_does_not_have_are_refused_with_their_field() {
    let keyed = |keyed: Keyed| AllKeyed { all: vec![Keyed::default(), keyed] };
    let none = Keyed::default;
    kept(&keyed(Keyed { by_flag: [(true, 1)].into(), by_wide: [(i128::MIN, 'x')].into(), ..none() }));
    kept(&keyed(Keyed { by_name: [(Day::Monday, 1)].into(), ..none() }));
    refused(&keyed(Keyed { by_pair: [((1, 2), 1)].into(), ..none() }), "all[1].by_pair", "keys");
    refused(&keyed(Keyed { by_option: [(None, 1)].into(), ..none() }), "all[1].by_option", "keys");
    refused(&keyed(Keyed { by_name: [(Day::Later(1), 1)].into(), ..none() }), "all[1].by_name", "keys");
}

fn is_five(value: &u8) -> bool {
    *value == 5
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "skipped")]
struct Skipped {
    #[serde(default, skip_serializing_if = "is_five")]
    number: u8,
    #[serde(skip)]
    cache: Vec<String>,
    #[serde(default, skip_serializing)]
    dropped: u8,
    #[serde(skip_deserializing)]
    ignored: u8,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    list: Vec<u8>,
}

#[test]
fn a_value_that_is_not_written_or_not_read_is_refused_unless_it_is_the_default() {
    let none = Skipped { number: 0, cache: vec![], dropped: 0, ignored: 0, list: vec![] };
    kept(&none);
    kept(&Skipped { number: 4, list: vec![1], ..none.clone() });
    refused(&Skipped { number: 5, ..none.clone() }, "number", "come back");
    refused(&Skipped { cache: vec!["a".into()], ..none.clone() }, "cache", "come back");
    refused(&Skipped { dropped: 1, ..none.clone() }, "dropped", "come back");
    refused(&Skipped { ignored: 1, ..none }, "ignored", "come back");
}

mod uppercase {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.to_uppercase())
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

mod nan_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "custom")]
struct Custom {
    #[serde(with = "uppercase")]
    #[schemars(with = "String")]
    currency: String,
    #[serde(with = "nan_as_text")]
    #[schemars(with = "String")]
    rate: f64,
}

#[test]
fn custom_functions_may_preserve_values_that_json_does_not_and_must_not_change_values() {
    kept(&Custom { currency: "EUR".into(), rate: 1.5 });
    assert!(Custom { currency: "EUR".into(), rate: f64::NAN }.encode().is_ok());
    refused(&Custom { currency: "eur".into(), rate: 1.0 }, "currency", "come back");
}

/// Numbers of all kinds, including NaN and the infinities.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![3 => proptest::num::f64::ANY, 1 => Just(f64::NAN), 3 => Just(1.0)]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number().prop_map(Value::from),
        "[a-z]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("(id|a|by_number|wide)", inner, 0..3)
                .prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

fn measured() -> impl Strategy<Value = Measured> {
    let item = (number(), proptest::num::f32::ANY).prop_map(|(price, weight)| Item { price, weight });
    prop_oneof![
        number().prop_map(|value| Measured::Plain { value }),
        proptest::num::f32::ANY.prop_map(|value| Measured::Half { value }),
        proptest::option::of(number()).prop_map(|value| Measured::Perhaps { value }),
        prop::collection::vec(item, 0..3).prop_map(|items| Measured::Listed { items }),
        (any::<u8>(), number(), number()).prop_map(|(count, a, b)| Measured::Paired((count, a), b)),
        prop::collection::hash_map("(null|b)", prop::collection::vec(number(), 0..2), 0..3)
            .prop_map(|rates| Measured::Mapped { rates }),
    ]
}

fn any_form() -> impl Strategy<Value = Form> {
    let rest = || {
        let by_number = prop::collection::btree_map(any::<u32>(), "[a-z]?", 0..2);
        (by_number, proptest::option::of(any::<u128>())).prop_map(|(by_number, wide)| Rest { by_number, wide })
    };
    let paid = prop_oneof![
        ("[a-z]?", rest()).prop_map(|(number, rest)| Paid::Card { number, rates: rest.by_number }),
        any::<i128>().prop_map(|amount| Paid::Wide { amount }),
        Just(Paid::Cash),
    ];
    let amount = prop_oneof![
        any::<u64>().prop_map(|value| Amount::Cents { value }),
        any::<u64>().prop_map(|value| Amount::Points { value }),
        number().prop_map(Amount::Share),
    ];
    let map = prop::collection::btree_map("(id|a)", value(), 0..3);
    prop_oneof![
        (any::<u8>(), rest()).prop_map(|(id, rest)| Form::Flat { id, rest }),
        (any::<u8>(), map).prop_map(|(id, rest)| Form::FlatMap { id, rest }),
        prop::collection::vec(paid, 0..3).prop_map(|paid| Form::Tagged { paid }),
        amount.prop_map(|amount| Form::Untagged { amount }),
        rest().prop_map(|rest| Form::Nested { rest }),
    ]
}

/// Asserts that the event decodes to an equal event, or is refused with an error that names a field.
fn written_or_refused<E: Event + PartialEq + Debug>(event: &E) -> Result<(), TestCaseError> {
    match event.encode() {
        Ok(data) => {
            let back = E::decode(data.event_type.as_str(), data.schema_version, &data.payload);
            prop_assert!(back.as_ref().is_ok_and(|back| back == event), "{event:?}, {back:?}");
        }
        Err(EncodeError::Lossy { field, reason, .. }) => prop_assert!(!field.is_empty() && !reason.is_empty()),
        Err(other) => prop_assert!(false, "{event:?}: {other}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn accepted_events_decode_to_an_equal_event(measured in measured(), form in any_form()) {
        written_or_refused(&measured)?;
        written_or_refused(&form)?;
    }

    /// Events that decode to an equal event are not refused.
    #[test]
    fn finite_numbers_are_accepted(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
        kept(&Measured::Plain { value });
        kept(&Measured::Perhaps { value: Some(value) });
        kept(&Form::FlatMap { id: 1, rest: [("a".to_owned(), json!([value, null]))].into() });
    }
}

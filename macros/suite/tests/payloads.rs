//! Whatever an event's JSON Schema lets be drawn, the event reads, and writes it again; whatever it writes, it reads.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use std::collections::BTreeMap;

use proptest::prelude::*;
use recount::{Event, Id};
use recount_schema::draws;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

#[derive(Id, Clone, Debug, PartialEq)]
struct OrderId(Uuid);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Line {
    sku: String,
    count: u16,
    note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Payment {
    Cash,
    Card { number: String, month: i8 },
    Transfer(u64),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
enum Delivery {
    Post(Address),
    Pickup { shop: u32 },
    Download,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Address {
    city: String,
    zip: [u8; 3],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "of")]
enum Discount {
    Percent(f64),
    None,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Category {
    name: String,
    within: Vec<Category>,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "order")]
enum OrderEvent {
    Placed {
        order: OrderId,
        lines: Vec<Line>,
        paid: Payment,
        delivery: Delivery,
        discount: Option<Discount>,
        total: i64,
    },
    Sorted {
        category: Category,
        labels: BTreeMap<String, bool>,
        rooms: BTreeMap<u8, Vec<u32>>,
        #[serde(default)]
        gift: bool,
        #[serde(flatten)]
        address: Address,
    },
    Moved(u32, char),
    Weighed(f32),
    Closed,
}

/// Without what is null or a default, and so may be missing.
fn bare(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let said = |(key, value): &(String, Value)| {
                !value.is_null() && (key, value) != (&"gift".to_owned(), &false.into())
            };
            object.into_iter().filter(said).map(|(key, value)| (key, bare(value))).collect()
        }
        Value::Array(values) => values.into_iter().map(bare).collect(),
        other => other,
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), Just(String::new()), "[\\PC]{200}"]
}

fn line() -> impl Strategy<Value = Line> {
    (text(), any::<u16>(), proptest::option::of(text())).prop_map(|(sku, count, note)| Line { sku, count, note })
}

fn payment() -> impl Strategy<Value = Payment> {
    prop_oneof![
        Just(Payment::Cash),
        (text(), any::<i8>()).prop_map(|(number, month)| Payment::Card { number, month }),
        any::<u64>().prop_map(Payment::Transfer),
    ]
}

fn address() -> impl Strategy<Value = Address> {
    (text(), any::<[u8; 3]>()).prop_map(|(city, zip)| Address { city, zip })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    prop_oneof![
        address().prop_map(Delivery::Post),
        any::<u32>().prop_map(|shop| Delivery::Pickup { shop }),
        Just(Delivery::Download),
    ]
}

fn discount() -> impl Strategy<Value = Option<Discount>> {
    let float = proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO;
    proptest::option::of(prop_oneof![float.prop_map(Discount::Percent), Just(Discount::None)])
}

fn category() -> impl Strategy<Value = Category> {
    let leaf = text().prop_map(|name| Category { name, within: vec![] });
    leaf.prop_recursive(4, 16, 3, |inner| {
        (text(), prop::collection::vec(inner, 0..3)).prop_map(|(name, within)| Category { name, within })
    })
}

fn event() -> impl Strategy<Value = OrderEvent> {
    let placed = (any::<u128>(), prop::collection::vec(line(), 0..4), payment(), delivery(), discount(), any::<i64>());
    let labels = prop::collection::btree_map(text(), any::<bool>(), 0..4);
    let rooms = prop::collection::btree_map(any::<u8>(), prop::collection::vec(any::<u32>(), 0..4), 0..4);
    prop_oneof![
        placed.prop_map(|(order, lines, paid, delivery, discount, total)| OrderEvent::Placed {
            order: OrderId(Uuid::from_u128(order)),
            lines,
            paid,
            delivery,
            discount,
            total,
        }),
        (category(), labels, rooms, any::<bool>(), address()).prop_map(|(category, labels, rooms, gift, address)| {
            OrderEvent::Sorted { category, labels, rooms, gift, address }
        }),
        any::<(u32, char)>().prop_map(|(a, b)| OrderEvent::Moved(a, b)),
        (proptest::num::f32::NORMAL | proptest::num::f32::ZERO).prop_map(OrderEvent::Weighed),
        Just(OrderEvent::Closed),
    ]
}

fn decode(data: &recount::EventData) -> OrderEvent {
    OrderEvent::decode(data.event_type.as_str(), data.schema_version, &data.payload).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_schema_allows_is_read_and_kept(seed: u64) {
        for variant in OrderEvent::variants() {
            let schema = (variant.schema)().to_value();
            let validator = jsonschema::validator_for(&schema).unwrap();
            for drawn in draws(&schema, &seed.to_string()).take(16) {
                let text = drawn.to_string();
                prop_assert!(validator.is_valid(&drawn), "{} {text}", variant.event_type);
                let read = OrderEvent::decode(variant.event_type, variant.schema_version, text.as_bytes());
                prop_assert!(read.is_ok(), "{} {text}: {read:?}", variant.event_type);
                let event = read.unwrap();
                let written = event.encode().unwrap();
                prop_assert_eq!(decode(&written), event);
                let written: Value = serde_json::from_slice(&written.payload).unwrap();
                prop_assert_eq!(bare(written), bare(drawn));
            }
        }
    }

    #[test]
    fn what_is_written_is_read(event in event()) {
        let written = event.encode().unwrap();
        prop_assert_eq!(&decode(&written), &event);
        let variants = OrderEvent::variants();
        let variant = variants.iter().find(|variant| variant.event_type == written.event_type.as_str()).unwrap();
        let schema = (variant.schema)().to_value();
        let payload = serde_json::from_slice(&written.payload).unwrap();
        prop_assert!(jsonschema::is_valid(&schema, &payload), "{payload}");
    }
}

//! The catalogue says what is stored: another program's validator agrees.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::Place;
use serde_json::Value;
use sqlx::query_as;

/// The events of 39 orders, without those of the runtime of the process.
const STORED: usize = 255;

fn json(path: &std::path::Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_validator_accepts_what_is_stored_and_refuses_it_without_a_required_field() {
    let place = Place::new();
    assert!(place.run(&["catalogue", "catalogue"]).status.success());
    let orders = format!("{}/tests/data/forty-orders.txt", env!("CARGO_MANIFEST_DIR"));
    place.report(&["--orders", &orders]);

    let mut validators = BTreeMap::new();
    for file in fs::read_dir(place.path("catalogue/schemas")).unwrap() {
        let file = file.unwrap();
        let schema = json(&file.path());
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        let name = file.file_name().into_string().unwrap();
        validators.insert(name, (jsonschema::validator_for(&schema).unwrap(), schema));
    }
    assert_eq!(validators.len(), 21, "19 events, two of them in two versions: {:?}", validators.keys());

    let stored: Vec<(String, i64, String)> =
        query_as("SELECT type, schema_version, payload FROM event_log WHERE type NOT LIKE 'recount.%'")
            .fetch_all(&mut place.database().await)
            .await
            .unwrap();
    assert_eq!(stored.len(), STORED);
    let mut refused = 0;
    for (event, version, payload) in stored {
        let (validator, schema) = &validators[&format!("{event}.v{version}.json")];
        let payload: Value = serde_json::from_str(&payload).unwrap();
        assert!(validator.is_valid(&payload), "{event}: {payload}");
        for field in schema["required"].as_array().unwrap() {
            let field = field.as_str().unwrap();
            let mut without = payload.clone();
            without.as_object_mut().unwrap().remove(field);
            assert!(!validator.is_valid(&without), "{event} without {field}");
            let mut other = payload.clone();
            other[field] = Value::Array(vec![Value::Null]);
            assert!(!validator.is_valid(&other), "{event} with another {field}");
            refused += 2;
        }
    }
    assert!(refused >= STORED * 2);
}

#[test]
fn the_page_shows_every_event_and_what_became_of_it() {
    let place = Place::new();
    assert!(place.run(&["catalogue", "out"]).status.success());
    let page = fs::read_to_string(place.path("out/index.html")).unwrap();
    for wanted in [
        "customer.registered",
        "order.placed",
        "total i64 became an object",
        "<code>placed_v1</code>",
        "fulfilment, sales",
        "creates its stream",
        "examples, which must stay readable",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(!page.contains("not released"), "the lock is behind: run `cargo recount schema lock -p shop`");
    assert!(place.path("out/commands/order.place_order.json").is_file());
}

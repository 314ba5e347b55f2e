//! Ids and other values around one value.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use std::collections::BTreeMap;

use recount::{Id, Tag, ToTags};
use serde_json::json;
use uuid::Uuid;

#[derive(Id, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Text(String);

#[derive(Id, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Unique(Uuid);

#[derive(Id, Clone, Copy, Debug, PartialEq, Eq)]
struct Cents(i64);

#[derive(Id, Clone, Debug, PartialEq, Eq)]
struct Around(Text);

#[test]
fn an_id_is_text_and_comes_back_from_it() {
    assert_eq!(Text("a b".into()).to_string(), "a b");
    assert_eq!("a b".parse::<Text>().unwrap(), Text::from("a b".to_owned()));
    assert_eq!("-5".parse::<Cents>().unwrap(), Cents(-5));
    assert_eq!(format!("{:>4}", Cents(-5)), "  -5");
    assert!("five".parse::<Cents>().is_err());
    assert_eq!(Unique(Uuid::nil()).to_string().parse::<Unique>().unwrap(), Unique(Uuid::nil()));
    assert_eq!("x".parse::<Around>().unwrap(), Around(Text("x".into())));
}

#[test]
fn its_json_is_that_of_the_value_within() {
    assert_eq!(serde_json::to_value(Cents(5)).unwrap(), json!(5));
    assert_eq!(serde_json::from_value::<Cents>(json!(5)).unwrap(), Cents(5));
    assert_eq!(serde_json::to_value(Around(Text("x".into()))).unwrap(), json!("x"));
    assert!(serde_json::from_value::<Text>(json!(5)).is_err());
    let keyed: BTreeMap<Text, u8> = serde_json::from_value(json!({"a": 1})).unwrap();
    assert_eq!(serde_json::to_value(keyed).unwrap(), json!({"a": 1}));
}

#[test]
fn its_schema_is_that_of_the_value_within() {
    let list = schemars::schema_for!(Vec<Cents>).to_value();
    assert_eq!(list["items"], json!({"type": "integer", "format": "int64"}));
    assert_eq!(schemars::schema_for!(Text).get("type"), Some(&json!("string")));
}

#[test]
fn it_is_a_tag() {
    let mut tags = Vec::new();
    Cents(5).tags("k", &mut tags).unwrap();
    Some(Text("x".into())).tags("t", &mut tags).unwrap();
    assert_eq!(tags, [Tag::new("k:5").unwrap(), Tag::new("t:x").unwrap()]);
    assert!(Text("\0".into()).tags("t", &mut tags).is_err());
}

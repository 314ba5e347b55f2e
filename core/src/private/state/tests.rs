use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::probe_shape;

/// Types that are called the same, in modules of their own.
macro_rules! versions {
    ($($module:ident { $($item:item)* })*) => {$(
        mod $module {
            #![allow(dead_code, reason = "only what serde makes of them matters")]
            use super::*;
            $(#[derive(Deserialize)] $item)*
        }
    )*};
}

versions! {
    first {
        struct Inner { a: u32, at: jiff::civil::Date, id: uuid::Uuid, few: std::num::NonZeroU8 }
        enum Kind { Small, Large { inner: Inner }, Other(Vec<Kind>) }
        pub(super) struct Outer { by: HashMap<String, Vec<Option<Inner>>>, kind: Kind, next: Option<Box<Outer>> }
    }
    same {
        struct Inner { a: u32, at: jiff::civil::Date, id: uuid::Uuid, few: std::num::NonZeroU8 }
        enum Kind { Small, Large { inner: Inner }, Other(Vec<Kind>) }
        pub(super) struct Outer { by: HashMap<String, Vec<Option<Inner>>>, kind: Kind, next: Option<Box<Outer>> }
    }
    added_behind_values_that_are_hard_to_make {
        struct Inner { a: u32, at: jiff::civil::Date, id: uuid::Uuid, few: std::num::NonZeroU8, b: Option<u8> }
        enum Kind { Small, Large { inner: Inner }, Other(Vec<Kind>) }
        pub(super) struct Outer { by: HashMap<String, Vec<Option<Inner>>>, kind: Kind, next: Option<Box<Outer>> }
    }
    renamed {
        struct Inner { z: u32, at: jiff::civil::Date, id: uuid::Uuid, few: std::num::NonZeroU8 }
        enum Kind { Small, Large { inner: Inner }, Other(Vec<Kind>) }
        pub(super) struct Outer { by: HashMap<String, Vec<Option<Inner>>>, kind: Kind, next: Option<Box<Outer>> }
    }
    retyped {
        struct Inner { a: u64, at: jiff::civil::Date, id: uuid::Uuid, few: std::num::NonZeroU8 }
        enum Kind { Small, Large { inner: Inner }, Other(Vec<Kind>) }
        pub(super) struct Outer { by: HashMap<String, Vec<Option<Inner>>>, kind: Kind, next: Option<Box<Outer>> }
    }
    variant_added {
        struct Inner { a: u32, at: jiff::civil::Date, id: uuid::Uuid, few: std::num::NonZeroU8 }
        enum Kind { Small, Large { inner: Inner }, Other(Vec<Kind>), Huge }
        pub(super) struct Outer { by: HashMap<String, Vec<Option<Inner>>>, kind: Kind, next: Option<Box<Outer>> }
    }
    field_of_a_variant_added {
        struct Inner { a: u32, at: jiff::civil::Date, id: uuid::Uuid, few: std::num::NonZeroU8 }
        enum Kind { Small, Large { inner: Inner, #[serde(default)] more: u8 }, Other(Vec<Kind>) }
        pub(super) struct Outer { by: HashMap<String, Vec<Option<Inner>>>, kind: Kind, next: Option<Box<Outer>> }
    }
}

#[test]
fn each_change_within_a_type_is_another_shape() {
    let shapes = BTreeMap::from([
        (probe_shape::<first::Outer>(), "first"),
        (probe_shape::<added_behind_values_that_are_hard_to_make::Outer>(), "added"),
        (probe_shape::<renamed::Outer>(), "renamed"),
        (probe_shape::<retyped::Outer>(), "retyped"),
        (probe_shape::<variant_added::Outer>(), "variant"),
        (probe_shape::<field_of_a_variant_added::Outer>(), "field of a variant"),
    ]);
    assert_eq!(shapes.len(), 6, "{shapes:?}");
    assert_eq!(probe_shape::<first::Outer>(), probe_shape::<same::Outer>());
}

versions! {
    plain {
        pub(super) struct Money { cents: i64 }
        pub(super) struct Cents(i64);
        pub(super) struct Other(i64);
        pub(super) struct Aliased { #[serde(alias = "b", alias = "c")] a: u8, last: (u8, Money) }
        pub(super) enum Expression { Add(Box<Expression>, Box<Expression>), Not { of: Box<Expression> }, Number(i64), Last(Money) }
    }
    grown {
        pub(super) struct Money { cents: i64, currency: Option<String> }
        pub(super) struct Aliased { #[serde(alias = "b", alias = "c")] a: u8, last: (u8, Money) }
        pub(super) enum Expression { Add(Box<Expression>, Box<Expression>), Not { of: Box<Expression> }, Number(i64), Last(Money) }
    }
}

#[test]
fn newtypes_aliases_and_types_within_themselves_are_seen_through() {
    assert_ne!(probe_shape::<plain::Cents>(), probe_shape::<plain::Other>());
    assert_ne!(probe_shape::<plain::Aliased>(), probe_shape::<grown::Aliased>());
    assert_ne!(probe_shape::<plain::Expression>(), probe_shape::<grown::Expression>());
    assert_ne!(probe_shape::<Vec<u8>>(), probe_shape::<(u8,)>());
    assert_ne!(probe_shape::<BTreeMap<u8, plain::Money>>(), probe_shape::<BTreeMap<u8, grown::Money>>());
    assert_eq!(probe_shape::<serde_json::Value>(), probe_shape::<serde_json::Value>());
}

/// Takes none of the values that are tried.
struct Picky;

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match &*String::deserialize(deserializer)? {
            "ISIN US0378331005" => Ok(Self),
            _ => Err(serde::de::Error::custom("no ISIN")),
        }
    }
}

versions! {
    before {
        struct Inner { a: u8 }
        enum Kind { Small, Large { inner: Inner } }
        pub(super) struct Share { isin: Picky, kind: Kind }
        pub(super) struct Depot { shares: Vec<Share>, last: Inner }
        pub(super) struct Ticket { by: BTreeMap<u8, Picky>, last: Inner }
    }
    after {
        struct Inner { a: u8, b: Option<u8> }
        enum Kind { Small, Large { inner: Inner } }
        pub(super) struct Share { isin: Picky, kind: Kind }
        pub(super) struct Depot { shares: Vec<Share>, last: Inner }
        pub(super) struct Ticket { by: BTreeMap<u8, Picky>, last: Inner }
    }
}

#[test]
fn what_stands_behind_a_field_that_takes_nothing_is_seen() {
    assert_ne!(probe_shape::<before::Share>(), probe_shape::<after::Share>());
    assert_ne!(probe_shape::<before::Depot>(), probe_shape::<after::Depot>());
    assert_ne!(probe_shape::<before::Ticket>(), probe_shape::<after::Ticket>());
}

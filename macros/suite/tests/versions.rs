//! Old events: upcasters, aliases, retired types.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use recount::{DecodeError, EncodeError, Event};
use serde::Deserialize;
use serde_json::Value;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "account")]
enum AccountEvent {
    #[event(version = 3, upcast(old::deposited_v1, deposited_v2), alias = "account.paid_in", alias = "money")]
    Deposited { cents: i64, currency: String },
    #[event(version = 2, upcast(opened_v1))]
    Opened { owner: String },
    /// Nothing but a renamed version 1.
    #[event(alias = "account.ended")]
    Closed,
    #[event(retired)]
    Frozen { why: String },
}

mod old {
    use super::*;

    #[derive(Deserialize)]
    pub(crate) struct DepositedV1 {
        euros: i64,
    }

    pub(crate) fn deposited_v1(old: DepositedV1) -> DepositedV2 {
        DepositedV2 { cents: old.euros * 100 }
    }
}

#[derive(Deserialize)]
struct DepositedV2 {
    cents: i64,
}

fn deposited_v2(old: DepositedV2) -> AccountEvent {
    AccountEvent::Deposited { cents: old.cents, currency: "EUR".into() }
}

/// An old event may have become another variant, and may be read as plain JSON.
fn opened_v1(old: Value) -> AccountEvent {
    match old["owner"].as_str() {
        Some(owner) => AccountEvent::Opened { owner: owner.into() },
        None => AccountEvent::Closed,
    }
}

fn read(event_type: &str, version: u32, payload: &str) -> AccountEvent {
    AccountEvent::decode(event_type, version, payload.as_bytes()).unwrap()
}

#[test]
fn each_version_runs_the_rest_of_the_chain() {
    let deposited = |cents| AccountEvent::Deposited { cents, currency: "EUR".into() };
    for name in ["account.deposited", "account.paid_in", "money"] {
        assert_eq!(read(name, 1, r#"{"euros":3}"#), deposited(300));
        assert_eq!(read(name, 2, r#"{"cents":301}"#), deposited(301));
        assert_eq!(read(name, 3, r#"{"cents":302,"currency":"EUR"}"#), deposited(302));
    }
}

#[test]
fn the_newest_version_is_written() {
    let data = AccountEvent::Deposited { cents: 1, currency: "USD".into() }.encode().unwrap();
    assert_eq!((data.event_type.as_str(), data.schema_version), ("account.deposited", 3));
}

#[test]
fn an_old_event_may_become_another_variant() {
    assert_eq!(read("account.opened", 1, r#"{"owner":"Ada"}"#), AccountEvent::Opened { owner: "Ada".into() });
    assert_eq!(read("account.opened", 1, r#"{"anything":[]}"#), AccountEvent::Closed);
}

#[test]
fn versions_outside_the_chain_are_unknown() {
    for version in [0, 4] {
        let error = AccountEvent::decode("money", version, b"{}").unwrap_err();
        assert!(matches!(&error, DecodeError::UnknownVersion { event_type, found, known: 3 }
            if event_type == "money" && *found == version));
    }
}

#[test]
fn an_old_payload_must_have_the_old_shape() {
    let error = AccountEvent::decode("account.deposited", 1, br#"{"cents":3}"#).unwrap_err();
    assert!(matches!(error, DecodeError::Payload { schema_version: 1, .. }));
}

#[test]
fn a_retired_event_is_read_but_not_written() {
    let frozen = read("account.frozen", 1, r#"{"why":"x"}"#);
    assert_eq!(frozen, AccountEvent::Frozen { why: "x".into() });
    assert!(matches!(frozen.encode(), Err(EncodeError::Retired { event_type: "account.frozen" })));
    assert!(AccountEvent::variants()[3].retired);
}

#[test]
fn aliases_are_listed_and_queried() {
    let variants = AccountEvent::variants();
    assert_eq!(variants[0].aliases, ["account.paid_in", "money"]);
    assert_eq!(variants[0].schema_version, 3);
    assert_eq!(read("account.ended", 1, "{}"), AccountEvent::Closed);
    let query = format!("{:?}", AccountEvent::query());
    for name in ["account.deposited", "account.paid_in", "money", "account.ended", "account.frozen"] {
        assert!(query.contains(&format!("{name:?}")), "{query}");
    }
}

#[test]
fn a_struct_has_versions_too() {
    #[derive(Event, Debug, PartialEq)]
    #[event(name = "shop.sold", version = 2, upcast(sold_v1), alias = "sold", retired)]
    struct Sold {
        cds: u32,
    }
    fn sold_v1(cds: u32) -> Sold {
        Sold { cds }
    }
    assert_eq!(Sold::decode("sold", 1, b"4").unwrap(), Sold { cds: 4 });
    assert_eq!(Sold::decode("shop.sold", 2, br#"{"cds":5}"#).unwrap(), Sold { cds: 5 });
    assert!(matches!(Sold { cds: 1 }.encode(), Err(EncodeError::Retired { .. })));
}

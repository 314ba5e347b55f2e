//! Old events: upcasters, aliases, retired types.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests is a test")]

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

/// A chain of fallible and infallible upcasters.
#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "payment")]
enum PaymentEvent {
    #[event(version = 4, upcast(paid::v1, paid::v2, paid::v3), alias = "payment.done")]
    Paid { cents: u32 },
    #[event(version = 2, upcast(cancelled_v1), retired)]
    Cancelled { why: String },
    #[event(version = 2, upcast(panics_at_zero))]
    Divided { by: u32 },
}

mod paid {
    use super::PaymentEvent;

    pub(crate) fn v1(euros: i64) -> i64 {
        euros * 100
    }
    pub(crate) fn v2(cents: i64) -> Result<u64, std::num::TryFromIntError> {
        u64::try_from(cents)
    }
    pub(crate) fn v3(cents: u64) -> Result<PaymentEvent, String> {
        match u32::try_from(cents) {
            Ok(cents) => Ok(PaymentEvent::Paid { cents }),
            Err(_) => Err(format!("{cents} cents are too many")),
        }
    }
}

fn cancelled_v1(why: Option<String>) -> Result<PaymentEvent, Box<dyn std::error::Error + Send + Sync>> {
    Ok(PaymentEvent::Cancelled { why: why.ok_or("it says no reason")? })
}

fn panics_at_zero(by: u32) -> PaymentEvent {
    assert!(by > 0, "divided by {by}");
    PaymentEvent::Divided { by }
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(union)]
enum Anything {
    Payment(PaymentEvent),
    Account(AccountEvent),
}

/// Asserts that decoding fails with an error that has the upcaster's name and reason.
#[track_caller]
fn fails(name: &str, version: u32, payload: &str, function: &str, reason: &str) {
    let alone = PaymentEvent::decode(name, version, payload.as_bytes()).unwrap_err();
    let in_union = Anything::decode(name, version, payload.as_bytes()).unwrap_err();
    for error in [alone, in_union] {
        match &error {
            DecodeError::Upcast { event_type, schema_version, function: failed, source } => {
                assert_eq!((event_type.as_str(), *schema_version, failed.as_str()), (name, version, function));
                assert_eq!(source.to_string(), reason);
            }
            other => panic!("{other:?}"),
        }
        let said = error.to_string();
        assert!([name, &version.to_string(), function].iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn an_upcaster_can_refuse_a_value_that_the_next_version_cannot_hold() {
    let read = |version, payload: &str| PaymentEvent::decode("payment.paid", version, payload.as_bytes()).unwrap();
    assert_eq!(read(1, "3"), PaymentEvent::Paid { cents: 300 });
    assert_eq!(read(2, "301"), PaymentEvent::Paid { cents: 301 });
    assert_eq!(read(3, "302"), PaymentEvent::Paid { cents: 302 });
    let negative = "out of range integral type conversion attempted";
    fails("payment.paid", 1, "-3", "paid::v2", negative);
    fails("payment.paid", 2, "-3", "paid::v2", negative);
    fails("payment.done", 1, "-1", "paid::v2", negative);
    fails("payment.done", 3, "5000000000", "paid::v3", "5000000000 cents are too many");
    fails("payment.cancelled", 1, "null", "cancelled_v1", "it says no reason");
    let cancelled = PaymentEvent::decode("payment.cancelled", 1, b"\"x\"").unwrap();
    assert_eq!(cancelled, PaymentEvent::Cancelled { why: "x".into() });
}

#[test]
fn an_upcaster_that_panics_fails_its_event_only() {
    fails("payment.divided", 1, "0", "panics_at_zero", "it panicked: divided by 0");
    let read = PaymentEvent::decode("payment.divided", 1, b"2").unwrap();
    assert_eq!(read, PaymentEvent::Divided { by: 2 });
}

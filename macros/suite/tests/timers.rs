//! The stored forms of timers.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use std::collections::BTreeMap;
use std::error::Error;

use recount::{Id, Timer, TimerError};

#[derive(Id, Clone, Debug, PartialEq)]
struct Sku(u64);

#[derive(Timer, Clone, Debug, PartialEq)]
enum OrderTimer {
    PaymentOverdue,
    #[timer(name = "stock", alias = "refill", alias = "restock")]
    Restock {
        sku: Sku,
        #[serde(default, rename = "n")]
        attempt: u32,
    },
    #[serde(rename_all = "camelCase")]
    Check {
        last_price: f64,
        by_shelf: BTreeMap<String, u8>,
    },
    Empty {},
}

/// Holds what has no `PartialEq`, `Clone` or `Debug`.
#[derive(Timer)]
enum Bare {
    Only { text: String },
}

fn check(last_price: f64) -> OrderTimer {
    OrderTimer::Check { last_price, by_shelf: BTreeMap::from([("b".into(), 2), ("a".into(), 1)]) }
}

#[test]
fn a_timer_is_stored_by_name_and_fields() {
    assert_eq!(OrderTimer::NAMES, ["payment_overdue", "stock", "check", "empty"]);
    for (timer, text) in [
        (OrderTimer::PaymentOverdue, "payment_overdue"),
        (OrderTimer::Restock { sku: Sku(7), attempt: 2 }, r#"stock {"sku":7,"n":2}"#),
        (check(0.5), r#"check {"lastPrice":0.5,"byShelf":{"a":1,"b":2}}"#),
        (OrderTimer::Empty {}, "empty {}"),
    ] {
        assert_eq!(timer.to_text().unwrap(), text);
        assert_eq!(OrderTimer::from_text(text).unwrap(), timer);
    }
    let text = Bare::Only { text: "a {\" b".into() }.to_text().unwrap();
    assert_eq!(text, r#"only {"text":"a {\" b"}"#);
    assert!(matches!(Bare::from_text(&text), Ok(Bare::Only { text }) if text == "a {\" b"));
}

#[test]
fn earlier_forms_are_read() {
    let restock = |attempt| OrderTimer::Restock { sku: Sku(7), attempt };
    for (text, timer) in [
        (r#"refill {"sku":7}"#, restock(0)),
        (r#"restock {"n":1,"sku":7}"#, restock(1)),
        (r#"stock {"sku":7,"gone":true}"#, restock(0)),
        ("empty", OrderTimer::Empty {}),
        (r#"payment_overdue {"gone":1}"#, OrderTimer::PaymentOverdue),
    ] {
        assert_eq!(OrderTimer::from_text(text).unwrap(), timer, "{text}");
    }
}

#[test]
fn unknown_timers_and_other_fields_are_refused() {
    for name in ["", "refil", "paymentoverdue", "Restock"] {
        let error = OrderTimer::from_text(&format!("{name} {{}}")).unwrap_err();
        assert!(matches!(&error, TimerError::Unknown { name: unknown } if unknown == name), "{error}");
    }
    for (text, says) in [
        ("refill", "missing field `sku`"),
        (r#"stock {"sku":"x"}"#, "invalid type"),
        (r#"stock {"sku":7} {}"#, "trailing"),
        (r#"stock [7,1]"#, "invalid type: sequence"),
        ("payment_overdue }", "expected value"),
    ] {
        let error = OrderTimer::from_text(text).unwrap_err();
        assert!(matches!(&error, TimerError::Fields { name, .. } if text.starts_with(name.as_str())), "{error}");
        let source = error.source().unwrap().to_string();
        assert!(source.contains(says), "{text}: {source}");
    }
}

#[test]
fn a_value_that_would_not_come_back_is_refused() {
    let error = check(f64::NAN).to_text().unwrap_err();
    assert!(matches!(&error, TimerError::Fields { name, .. } if name == "check"), "{error}");
    assert!(error.source().unwrap().to_string().contains("`lastPrice`"), "{error:?}");
}

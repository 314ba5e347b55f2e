use expect_test::expect_file;

use super::derive;
use crate::testing::{expanded, mistakes};

#[test]
fn what_an_enum_becomes() {
    let expansion = expanded(
        derive,
        r#"
        #[event(name = "account")]
        pub enum AccountEvent {
            Opened { owner: String },
            #[event(version = 3, upcast(v1, v2), alias = "account.paid_in")]
            Deposited { #[serde(default)] amount: i64, #[event(tag)] branch: BranchId },
            #[event(name = "gone", retired)]
            Closed,
            Moved(#[event(tag = "branch")] BranchId, u8),
        }
        "#,
    );
    expect_file!["../snapshots/event_enum.rs"].assert_eq(&expansion);
}

#[test]
fn what_a_struct_becomes() {
    let expansion = expanded(
        derive,
        r#"
        #[event(name = "order.placed", crate = "my::recount")]
        struct OrderPlaced { #[event(tag = "customer")] customer: Option<CustomerId>, cds: u32 }
        "#,
    );
    expect_file!["../snapshots/event_struct.rs"].assert_eq(&expansion);
}

#[test]
fn what_a_union_becomes() {
    let expansion = expanded(
        derive,
        r#"
        #[event(union)]
        enum Heard { Account(AccountEvent), #[event(only(Placed, Paid))] Order(orders::OrderEvent) }
        "#,
    );
    expect_file!["../snapshots/event_union.rs"].assert_eq(&expansion);
}

#[test]
fn all_mistakes_at_once() {
    let found = mistakes(
        derive,
        r#"
        #[event(name = "ac count", what)]
        enum E<T> {
            #[event(version = 0)] A { #[event(tog)] a: T },
            #[event(version = 2, retired = true)] B(#[event(tag)] u8),
            #[event(alias = "", alias)] C,
        }
        "#,
    );
    assert_eq!(found.len(), 10, "{found:#?}");
}

#[test]
fn the_same_input_gives_the_same_output() {
    let input = r#"#[event(name = "a")] enum E { A { x: u8 }, #[event(alias = "z", alias = "y")] B }"#;
    assert_eq!(expanded(derive, input), expanded(derive, input));
}

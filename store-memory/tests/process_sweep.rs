//! A program that runs a process dies, pauses, or loses an answer at each of its calls in turn.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use recount_store_memory::MemoryStore;
use recount_testing::process::{
    mishap::{Mishap, sweep},
    scenario::Scenario,
};

fn check(scenario: Scenario) {
    for mishap in Mishap::ALL {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let calls = runtime.block_on(sweep(|| Arc::new(MemoryStore::new()), scenario, mishap));
        assert!(calls > 20, "only {calls} calls");
        println!("{scenario:?} {mishap:?}: {calls} calls");
    }
}

macro_rules! scenarios {
    ($($name:ident: $scenario:ident,)*) => {
        $(#[test]
        fn $name() {
            check(Scenario::$scenario);
        })*
    };
}

scenarios! {
    an_order_that_is_fulfilled: Fulfilled,
    an_order_that_is_restocked: Restocked,
    an_order_that_is_out_of_stock: OutOfStock,
    an_order_that_is_declined: Declined,
    an_order_that_is_overdue: Overdue,
    an_order_that_is_cancelled: Cancelled,
    an_order_that_is_stuck: Stuck,
    an_order_that_is_extended: Extended,
    an_order_that_is_paid_by_hand: PaidByHand,
    an_order_that_is_unshippable: Unshippable,
    an_order_that_is_unrefundable: Unrefundable,
}

//! The conformance suite of processes: what they promise on each store, one named test each.
//!
//! A store that passes the [suite of stores](crate::store) lists this one with [`process_suite!`](crate::process_suite).

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a suite of tests reports by panicking")]

pub mod domain;
pub mod oracle;
pub mod parked;
pub mod promises;
pub mod sweep;
pub mod world;

/// Lists the suite as tests of the store that the expression opens, which must be a
/// [`Harness`](crate::store::Harness) and may `.await`. It is evaluated anew for each test.
#[macro_export]
macro_rules! process_suite {
    ($harness:expr) => {
        $crate::__process_promises! { $harness;
            promises {
                an_order_is_fulfilled
                what_follows_from_an_order_can_be_waited_for
                a_declined_payment_releases_the_stock
                stock_that_arrives_late_is_reserved
                an_overdue_payment_is_given_up
                a_timer_due_while_nothing_runs_fires_once
                a_stuck_compensation_is_redriven
                a_stuck_compensation_is_resolved
                a_panic_parks_one_instance
            }
            parked {
                a_command_that_fails_parks_one_instance
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __process_promises {
    ($harness:expr; $($topic:ident { $($promise:ident)* })*) => {
        mod process {
            #[allow(unused_imports)]
            use super::*;
            $(mod $topic {
                #[allow(unused_imports)]
                use super::*;
                $(#[test]
                fn $promise() {
                    $crate::store::check(async { $harness }, async |harness| {
                        $crate::process::$topic::$promise(harness).await;
                    });
                })*
            })*
        }
    };
}

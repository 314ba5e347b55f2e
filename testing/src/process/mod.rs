//! The conformance suite of processes: their promises on each store, one named test each.
//!
//! A store that passes the [suite of stores](crate::store) lists this one with [`process_suite!`](crate::process_suite).
//!
//! * [`promises`]: processes without faults.
//! * [`points`], [`races`], [`outages`], [`deploys`]: the crash points, by their numbers.
//! * [`mishap::sweep`]: a mishap at each call of a program in turn.
//! * [`simulation::run`]: many orders and mishaps at random, by a seed.
//! * [`oracle`]: the promises that every log keeps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a suite of tests reports by panicking"
)]

pub mod deploys;
pub mod domain;
pub mod mishap;
pub mod oracle;
pub mod outages;
pub mod parked;
pub mod points;
pub mod promises;
pub mod races;
pub mod scenario;
pub mod simulation;
pub mod world;

/// Lists the suite as tests of the store that the expression opens, which must be a
/// [`Harness`](crate::store::Harness) and may `.await`. It is evaluated anew for each test. `by` names another function than
/// [`check`](crate::store::check) that runs a promise.
#[macro_export]
macro_rules! process_suite {
    ($harness:expr) => {
        $crate::process_suite! { $harness, by $crate::store::check }
    };
    ($harness:expr, by $check:path) => {
        $crate::__process_promises! { $check, $harness;
            promises {
                an_order_is_fulfilled
                what_follows_from_an_order_can_be_waited_for
                a_declined_payment_releases_the_stock
                stock_that_arrives_late_is_reserved
                an_overdue_payment_is_given_up
                a_stuck_compensation_is_redriven
                a_stuck_compensation_is_resolved
                c26_a_panic_parks_one_instance
                an_undo_without_a_command_is_sent
                a_step_with_an_undo_sends_its_commands
            }
            points {
                c01_the_first_step
                c02_the_reactors_checkpoint
                c03_a_later_step
                c06_the_sender_sees_a_step
                c07_the_senders_checkpoint
                c07_a_command
                c08_a_refusal
                c09_a_paused_decision
                c11_the_step_of_a_refusal
                c12_a_command_without_events
                c14_an_undo
                c15_the_refusal_of_an_undo
                c15_a_redrive
                c16_between_two_undos
                c16_the_first_undo
                c16_the_end_of_a_compensation
                c17_the_index_of_timers
                c18_the_entry_of_a_timer
                c19_the_first_entry_of_a_moved_timer
                c20_the_step_of_a_timer
            }
            races {
                c04_two_reactors
                c05_a_queue_in_memory
                c10_a_paused_refusal
                c13_the_withdrawal_comes_first
                c13_the_effect_comes_first
                c15_a_refused_undo
                c19_a_moved_timer
                c20_two_alarms
                c23_the_input_comes_first
                c23_the_timer_comes_first
                c27_a_redrive_among_inputs
                c27_a_redrive_with_a_failing_store
            }
            outages {
                c21_due_while_nothing_runs
                c22_a_clock_that_jumps
                c24_late_inputs_and_timers
                c26_a_fact_that_cannot_be_read
                c29_a_closed_target
                c30_a_wiped_state_store
            }
            deploys {
                c28_a_field_more
                c28_a_command_that_is_gone
                c28_a_timer_that_is_gone
                early_inputs_are_held
                an_early_input_that_fails_is_redriven
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
    ($check:path, $harness:expr; $($topic:ident { $($promise:ident)* })*) => {
        mod process {
            #[allow(unused_imports)]
            use super::*;
            $crate::__process_topics! { $check, $harness; $($topic { $($promise)* })* }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __process_topics {
    ($check:path, $harness:expr; $topic:ident { $($promise:ident)* } $($rest:tt)*) => {
        mod $topic {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $promise() {
                $check(async { $harness }, async |harness| {
                    $crate::process::$topic::$promise(harness).await;
                });
            })*
        }
        $crate::__process_topics! { $check, $harness; $($rest)* }
    };
    ($check:path, $harness:expr;) => {};
}

//! The conformance suite of inline projections: the promises of each store that has them, one named test each.
//!
//! A store with a read model that passes the [suite of read models](crate::read_model) also shows how it is opened with inline
//! projections ([`Harness`]), and lists this suite with one macro, [`inline_suite!`](crate::inline_suite).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite of tests reports by panicking")]

pub mod committed;
pub mod ended;
pub mod failures;
pub mod filter;
mod harness;
pub mod history;
mod taking;

pub use harness::Harness;

/// Lists the whole conformance suite as tests of the store that the expression opens, which must be a
/// [`Harness`](crate::inline::Harness) and may `.await`. It is evaluated anew for each test.
#[macro_export]
macro_rules! inline_suite {
    ($harness:expr) => {
        $crate::__promises! { inline, $harness;
            committed {
                an_event_is_in_the_read_model_when_its_append_returns
                an_append_that_writes_nothing_changes_nothing
                appends_at_once_are_taken_in_order
                only_selected_events_are_taken
            }
            failures {
                a_failing_handler_refuses_only_its_own_append
                a_panic_refuses_the_append
                a_handler_that_hangs_is_ended_and_the_store_goes_on
                an_append_whose_caller_goes_away_is_not_half_done
                a_failing_set_up_refuses_to_open
                two_projections_of_one_name_are_refused
            }
            ended {
                an_append_that_a_handler_has_committed_is_not_reported_as_undone
                an_append_that_a_handler_has_undone_leaves_no_gap
                appends_that_share_a_transaction_are_told_what_became_of_them
                a_set_up_that_ends_its_transaction_refuses_to_open
                catching_up_ends_at_a_handler_that_ends_its_transaction
            }
            history {
                events_from_before_are_taken_at_open
                events_of_another_program_are_taken_with_the_next_append
                a_refused_event_of_another_program_refuses_each_append
                two_instances_take_every_event_once_in_order
                an_instance_without_the_projection_leaves_no_gap
            }
            filter {
                another_filter_is_refused_and_named
                another_filter_starts_over_by_choice
                another_filter_goes_on_by_choice
                an_older_program_does_not_move_a_newer_checkpoint
                an_order_to_rebuild_changes_nothing
            }
        }
    };
}

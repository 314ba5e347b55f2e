//! The list of all promises, as tests.

/// Lists the whole conformance suite as tests of the store that the expression opens, which must be a
/// [`Harness`](crate::store::Harness) and may `.await`. It is evaluated anew for each test.
///
/// Every promise becomes three tests: of the store itself, of the store behind `Box` and `Arc`, and of the store
/// behind a [`FaultyStore`](crate::FaultyStore) without faults; so wrappers that lose something turn red too.
#[macro_export]
macro_rules! store_suite {
    ($harness:expr) => {
        mod itself {
            use super::*;
            $crate::__store_promises!($harness, std::convert::identity);
        }
        mod boxed {
            use super::*;
            $crate::__store_promises!($harness, $crate::store::Boxed);
        }
        mod faultless {
            use super::*;
            $crate::__store_promises!($harness, $crate::store::Faultless);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_promises {
    ($harness:expr, $wrap:expr) => {
        $crate::__store_promises! { $harness, $wrap;
            append {
                each_expectation_has_its_outcome_on_a_missing_stream
                each_expectation_has_its_outcome_on_an_existing_stream
                a_closed_stream_refuses_every_expectation
                the_outcome_tells_what_was_written
                positions_follow_the_order_of_the_request
                several_streams_are_all_written_or_none
                a_conflict_carries_what_the_writer_has_not_seen
                a_conflict_writes_nothing
                a_wrong_request_is_refused
                a_thousand_events_are_one_append
                an_event_id_is_recorded_once
                an_event_comes_back_as_it_was_appended
            }
            idempotency {
                a_repeated_key_returns_the_first_outcome
                a_repeated_key_is_answered_though_the_stream_was_closed
                a_key_is_not_used_for_other_content
                an_outcome_is_found_by_its_key
                a_failed_append_does_not_use_up_its_key
                racing_repetitions_happen_once
                a_key_is_remembered_after_reopening
            }
            read {
                an_unknown_stream_differs_from_an_empty_range
                a_stream_is_read_between_any_bounds
                the_store_is_read_between_any_bounds
                pages_join_without_a_seam
                a_read_passes_over_many_events_that_do_not_match
                an_open_read_survives_appends
                idle_reads_hold_nobody_up
                archived_streams_are_read_and_erased_ones_are_gone
            }
            boundary {
                a_query_selects_what_its_items_select
                an_event_is_selected_once
                a_condition_fails_on_what_was_recorded_behind_its_position
                a_condition_ignores_what_its_query_does_not_select
                a_position_beyond_the_head_is_no_violation
                an_append_does_not_fail_its_own_condition
                violations_of_streams_and_condition_are_reported_together
                erased_events_fail_no_condition
            }
        }
    };
    ($harness:expr, $wrap:expr; $($topic:ident { $($promise:ident)* })*) => {
        $(mod $topic {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $promise() {
                $crate::store::check(async { $wrap($harness) }, $crate::store::$topic::$promise);
            })*
        })*
    };
}

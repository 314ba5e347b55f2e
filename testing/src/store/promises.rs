//! The list of all promises, as tests.

/// Lists the whole conformance suite as tests of the store that the expression opens, which must be a
/// [`Harness`](crate::store::Harness) and may `.await`. It is evaluated anew for each test.
///
/// Every promise becomes three tests: of the store itself, of the store behind `Box` and `Arc`, and of the store
/// behind a [`FaultyStore`](crate::FaultyStore) without faults; so wrappers that lose something turn red too.
/// To test several stores in one file, give each macro call a module of its own.
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
                an_outcome_without_events_is_kept_under_its_key
                a_stream_without_events_is_only_checked
                the_first_of_racing_outcomes_of_one_key_is_kept
                racing_repetitions_happen_once
                a_key_is_remembered_after_reopening
            }
            shared_keys {
                each_request_of_a_shared_append_has_its_own_outcome
                a_shared_append_with_a_known_key_writes_nothing
                a_request_of_a_shared_append_is_repeated_alone
                an_outcome_without_events_is_kept_beside_other_appends
                slices_with_invalid_indexes_or_repeated_keys_are_refused
                racing_shared_appends_record_each_request_once
            }
            key_retention {
                old_keys_are_forgotten_and_young_ones_stay
                no_more_keys_are_forgotten_than_asked
                a_forgotten_key_can_be_used_anew
                the_keys_of_a_shared_append_are_forgotten
                events_stay_when_their_keys_are_forgotten
                keys_are_forgotten_while_appends_go_on
                forgotten_keys_stay_forgotten_after_reopening
            }
            read {
                an_unknown_stream_differs_from_an_empty_range
                a_stream_is_read_between_any_bounds
                an_erased_stream_is_told_in_every_range
                the_store_is_read_between_any_bounds
                pages_join_without_a_seam
                a_read_passes_over_many_events_that_do_not_match
                an_open_read_survives_appends
                idle_reads_hold_nobody_up
                requests_that_are_not_polled_hold_up_no_others
                archived_streams_are_read_and_erased_ones_are_gone
                an_instance_reads_at_once_what_another_acknowledged
            }
            boundary {
                a_query_selects_what_its_items_select
                an_event_is_selected_once
                a_condition_fails_on_what_was_recorded_behind_its_position
                a_condition_ignores_what_its_query_does_not_select
                a_type_is_all_of_its_schema_versions
                a_position_beyond_the_head_is_no_violation
                an_append_does_not_fail_its_own_condition
                violations_of_streams_and_condition_are_reported_together
                erased_events_fail_no_condition
                large_requests_work
            }
            concurrency {
                of_appends_expecting_the_same_version_exactly_one_wins
                appends_expecting_any_version_all_land
                several_streams_become_visible_at_once
                a_cancelled_append_is_whole_or_absent
                of_appends_of_the_same_event_exactly_one_wins
                no_append_lands_after_its_stream_was_archived
                writers_of_a_hot_stream_all_get_through
            }
            conditions {
                of_racing_conditions_that_overlap_exactly_one_wins
                disjoint_conditions_never_conflict
                an_unconditional_append_is_not_missed_by_a_condition
                every_recorded_condition_held
                conditions_on_disjoint_categories_never_conflict
            }
            order {
                a_reader_that_follows_the_head_misses_nothing
                everything_up_to_the_head_is_readable
            }
            watch {
                the_head_is_the_position_of_the_last_event
                a_watcher_wakes_on_an_append
                a_watcher_wakes_on_an_append_of_another_instance
                no_wake_up_is_lost
                a_new_watcher_knows_the_head
                watchers_end_when_the_store_is_closed
            }
            subscribe {
                a_subscription_goes_from_history_to_live_without_a_seam
                a_subscription_starts_behind_a_position
                a_subscription_that_selects_nothing_still_advances
                a_subscription_is_left_and_taken_up_anywhere
                a_slow_subscriber_holds_nobody_up
            }
            history {
                a_store_has_an_identity
                event_at_distinguishes_events_erased_events_and_gaps
                a_checkpoint_names_store_and_event
                a_subscriber_ahead_of_its_store_is_refused
                a_store_that_grew_again_after_a_restore_is_refused
                a_checkpoint_of_another_store_is_refused
                an_erased_event_at_the_checkpoint_is_passed
                a_running_subscription_notices_that_its_store_went_back
                a_running_subscription_notices_that_its_store_grew_again
                a_slow_reader_of_history_notices_that_its_store_grew_again
                a_read_model_ahead_of_its_store_stops
                a_running_projection_notices_that_its_store_went_back
                a_read_model_of_another_store_stops
            }
            handlers {
                a_handler_that_uses_its_own_store_is_answered_in_time
                waiting_calls_name_the_handler_that_does_not_return
            }
            lease {
                a_lease_has_one_holder
                a_released_lease_is_free
                a_paused_holder_is_fenced_off
            }
            state {
                an_entry_is_written_read_replaced_and_deleted
                an_entry_is_only_changed_if_it_is_as_expected
                revisions_never_come_again
                of_racing_writers_of_one_entry_exactly_one_wins
                an_entry_expires_by_the_clock_of_the_store
                a_prefix_lists_exactly_the_keys_that_start_with_it
                a_list_goes_on_behind_a_key
                instances_share_their_state
                entries_survive_reopening
            }
            state_batch {
                entries_are_written_and_deleted_together
                a_batch_with_a_mismatch_changes_nothing
                a_batch_beyond_the_limits_is_refused
                entries_of_a_batch_expire_each_by_its_own_time
                of_racing_batches_that_overlap_exactly_one_wins
                overlapping_batches_in_any_order_all_get_through
                a_cancelled_batch_is_whole_or_absent
                the_store_tells_the_time_that_expiry_goes_by
                keys_of_different_namespaces_never_meet
            }
            payload {
                any_bytes_come_back_unchanged
                payloads_up_to_the_limit_are_written
                a_payload_beyond_the_limit_refuses_the_whole_request
            }
            names {
                a_hostile_stream_id_is_a_stream_of_its_own
                a_category_is_compared_exactly
                tags_and_types_are_compared_exactly
                the_longest_names_work
                a_hostile_key_is_a_key_of_its_own
                closing_a_hostile_stream_touches_no_other
            }
            lifecycle {
                closing_a_stream_again_is_harmless
                instances_agree_on_closed_streams
                an_open_read_survives_an_erasure
                a_closed_store_says_so
                closing_one_instance_leaves_the_others_open
                what_was_acknowledged_survives_reopening
                closing_finishes_the_appends_under_way
                a_close_that_was_given_up_is_done_by_the_next
                a_store_whose_runtime_ended_answers_in_time
                a_store_whose_runtime_is_not_driven_answers_in_time
                appends_in_flight_when_the_runtime_ends_are_answered_in_time
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

#[cfg(test)]
mod tests {
    /// A promise that is written but not listed would never be tested.
    #[test]
    fn every_promise_is_listed() {
        let list = include_str!("promises.rs");
        let topics = [
            include_str!("append.rs"),
            include_str!("boundary.rs"),
            include_str!("concurrency.rs"),
            include_str!("conditions.rs"),
            include_str!("handlers.rs"),
            include_str!("history.rs"),
            include_str!("idempotency.rs"),
            include_str!("lease.rs"),
            include_str!("lifecycle.rs"),
            include_str!("names.rs"),
            include_str!("order.rs"),
            include_str!("payload.rs"),
            include_str!("read.rs"),
            include_str!("shared_keys.rs"),
            include_str!("state.rs"),
            include_str!("state_batch.rs"),
            include_str!("subscribe.rs"),
            include_str!("watch.rs"),
        ];
        let promises = topics.iter().flat_map(|topic| topic.split("\npub async fn ").skip(1));
        for promise in promises.map(|text| text.split('(').next().unwrap()) {
            assert!(list.contains(&format!(" {promise}\n")), "{promise} is not listed");
        }
    }
}

//! The suite of brokers turns red: each deliberate defect is found by the promise that it breaks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod broken;

use std::panic::{AssertUnwindSafe, catch_unwind};

use broken::{Broken, Defect};
use recount_messaging::{AttemptCount, Dedupe, NativeRetry, OrderSupport, Profile, Release};
use recount_testing::broker::{
    Harness, consuming, declaring, envelope, expiry, groups, leases, limits, order, outages, publishing, settling,
};

/// Whether a promise holds, in virtual time.
fn holds(profile: Profile, defect: Defect, promise: impl AsyncFn(&dyn Harness)) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let run = || runtime.block_on(async { promise(&Broken::new(profile, defect)).await });
    catch_unwind(AssertUnwindSafe(run)).is_ok()
}

/// Makes a test of each defect: the promise holds without it, and not with it.
macro_rules! red {
    ($($test:ident: $defect:expr, $profile:ident => $($promise:path),+;)*) => {
        $(#[test]
        fn $test() {
            use Defect::*;
            $(assert!(holds(Profile::$profile, None, $promise), "{} fails without a defect", stringify!($promise));
            assert!(!holds(Profile::$profile, $defect, $promise), "{} does not find it", stringify!($promise));)+
        })*
    };
}

red! {
    a_lost_acknowledgement: AcknowledgementsAreLost, Own => consuming::what_is_acknowledged_does_not_come_again;
    an_acknowledgement_at_delivery: DeliveryAcknowledges, Own =>
        consuming::what_is_only_taken_comes_again_after_a_drain, consuming::what_is_released_comes_again;
    a_batch_in_reverse: BatchesAreReversed, Own =>
        order::a_thousand_messages_keep_the_order_of_each_key,
        order::a_rolling_deploy_under_load_loses_nothing_and_keeps_the_order;
    a_release_that_lets_others_pass: BatchesAreShuffledAtRelease, RabbitMq =>
        order::order_survives_redelivery, settling::a_released_message_goes_where_it_is_declared;
    a_stale_settlement_that_is_hidden: StaleIsHidden, Own =>
        leases::an_acknowledgement_after_the_lease_is_stale, leases::another_member_gets_a_message_whose_lease_ended,
        settling::a_ticket_of_another_consumer_settles_nothing;
    a_stale_settlement_that_is_hidden_after_a_cut: StaleIsHidden, RabbitMq =>
        settling::the_count_after_a_reconnect_is_as_declared;
    a_lease_that_never_ends: LeasesNeverEnd, Nats =>
        leases::a_delivery_says_when_its_lease_ends, leases::an_acknowledgement_after_the_lease_is_stale,
        leases::order_survives_the_end_of_a_lease, order::a_member_that_dies_hands_its_lanes_over_in_order,
        consuming::a_dropped_consumer_loses_nothing;
    a_lease_that_is_not_extended: LeasesAreNotExtended, Fifo =>
        leases::an_extended_lease_is_kept, leases::an_ended_lease_is_not_extended;
    fates_of_others: FatesAreShifted, Own => limits::each_fate_belongs_to_its_message;
    a_refusal_of_the_whole_batch: RefusalSpreads, Own =>
        limits::one_byte_over_the_limit_is_refused_and_its_neighbours_are_stored,
        limits::headers_over_the_limit_are_refused_and_their_neighbours_are_stored;
    a_dropped_next_that_loses: ADroppedNextLoses, Kafka => consuming::a_dropped_next_hides_no_message;
    a_dropped_ticket_that_is_forgotten: DroppedTicketsAreForgotten, Pulsar => consuming::a_dropped_ticket_comes_again;
    a_room_that_is_ignored: RoomIsIgnored, Own => consuming::a_delivery_needs_room, consuming::the_room_in_bytes_is_kept;
    topics_that_cross: TopicsCross, Own => publishing::topics_do_not_cross;
    changes_that_are_none: EnsureAlwaysChanges, Own => declaring::ensure_is_idempotent;
    a_dry_run_that_declares: DryRunsDeclare, Own => declaring::a_dry_run_changes_nothing;
    a_mismatch_that_is_hidden: MismatchIsHidden, Own =>
        declaring::another_number_of_lanes_is_a_mismatch, declaring::a_plan_may_repeat_itself_and_not_contradict_itself;
    a_binding_that_is_declared_by_itself: MissingIsDeclared, Own =>
        declaring::a_binding_that_was_not_ensured_is_missing;
    a_malformed_message_that_is_skipped: MalformedIsSkipped, Own =>
        envelope::a_malformed_message_is_delivered_with_its_raw_bytes;
    raw_bytes_that_are_lost: RawBytesAreLost, Own => envelope::a_malformed_message_is_delivered_with_its_raw_bytes;
    a_call_that_hangs: FrozenCallsHang, Own => outages::calls_return_while_the_server_is_frozen;
    a_drain_that_keeps: DrainsKeep, Nats => consuming::a_drain_releases_what_is_open;
    a_consumer_that_is_never_idle: NeverIdle, Own => consuming::a_quiet_consumer_is_idle;
    keys_in_lower_case: KeysAreLowered, Own => envelope::hostile_keys_arrive_equal;
    a_key_that_is_made: MissingKeysAreMade, Own => envelope::an_empty_key_is_no_key;
    bodies_as_text: BodiesAreText, Own => envelope::bodies_arrive_byte_for_byte;
    headers_that_are_trimmed: HeadersAreTrimmed, Own => envelope::headers_arrive_equal;
    outcomes_of_other_marks: OutcomesAreReversed, Kafka => settling::each_outcome_belongs_to_its_mark;
    a_rejected_message_that_comes_again: RejectsComeAgain, Own => consuming::what_is_rejected_does_not_come_again;
    a_closed_connection_that_goes_on: ClosedGoesOn, Own =>
        declaring::a_closed_connection_says_so, declaring::topics_are_listed_as_declared;
    a_pattern_that_is_ignored: PatternsAreIgnored, Own => declaring::topics_are_listed_as_declared;
    a_time_that_is_corrected: TimesAreCorrected, Own => declaring::a_time_out_of_its_bounds_is_refused_by_name;
    lanes_that_are_not_listed: LanesAreNotListed, Nats => declaring::topics_are_listed_as_declared;
}

red! {
    one_group_for_all: OneGroupForAll, Own =>
        groups::two_groups_each_get_everything, publishing::many_publishers_and_many_groups_get_everything;
    messages_that_are_lost: EveryTenthIsLost, Own =>
        publishing::a_hundred_messages_arrive_equal, publishing::closing_right_after_publishing_loses_nothing,
        publishing::closing_while_publishing_tells_every_fate, groups::an_unordered_group_gets_everything,
        consuming::closing_and_reopening_loses_nothing, groups::the_end_of_one_connection_disturbs_no_other;
    a_group_that_never_expires: ExpiryIsIgnored, RabbitMq =>
        expiry::an_expiring_group_is_removed_when_it_is_not_used;
    old_messages_that_are_kept: EverythingIsKept, Nats => expiry::a_topic_forgets_messages_after_its_time;
    a_start_that_is_ignored: StartIsIgnored, Own => publishing::a_group_that_starts_at_the_latest_gets_no_history;
    a_topic_that_is_declared_by_itself: MissingTopicsAreDeclared, Own =>
        declaring::a_topic_that_was_not_ensured_takes_no_message;
    a_release_that_loses: ReleasesLose, Own =>
        consuming::consumers_that_only_release_lose_nothing, consuming::what_is_released_comes_again,
        order::members_that_come_and_go_lose_nothing_and_keep_the_order;
    subjects_that_are_lost: SubjectsAreLost, Own => envelope::every_attribute_arrives_equal;
    sources_that_are_lost: SourcesAreLost, Nats => publishing::the_same_id_from_another_source_is_stored;
    a_structured_message_that_is_not_read: StructuredIsMalformed, Own =>
        envelope::a_structured_foreign_message_is_read, envelope::foreign_messages_arrive_in_the_lanes_of_their_keys;
    a_first_delivery_that_counts: FirstDeliveriesCount, Own => settling::a_first_delivery_has_no_earlier_ones;
    a_close_that_ends_others: CloseEndsTheServer, Kafka =>
        groups::the_end_of_one_connection_disturbs_no_other, declaring::a_closed_connection_says_so;
    a_group_of_each_member: EachMemberIsAGroup, Own => groups::members_share_the_messages_of_a_group;
    open_deliveries_that_are_lost: DeliveryAcknowledges, Pulsar =>
        order::a_member_that_leaves_hands_its_lanes_over_in_order, order::order_survives_a_cut_connection,
        order::a_member_that_dies_hands_its_lanes_over_in_order,
        outages::a_consumer_goes_on_after_its_connection_was_cut;
    later_acknowledgements_that_cover_earlier_messages: DeliveryAcknowledges, Kafka =>
        consuming::an_open_message_comes_again_though_later_ones_were_acknowledged;
    a_healthy_server_that_is_down: HealthLies, Kafka =>
        outages::health_follows_the_server, outages::calls_return_while_the_server_is_down;
    a_drain_that_hangs: DrainsHang, Own => outages::drain_and_close_return_while_the_server_is_frozen,
        outages::drain_and_close_return_while_the_server_is_down;
    unknown_fates_that_are_told_as_stored: UnknownIsReportedAsStored, Pulsar =>
        outages::cut_connections_lose_no_message;
    a_consumer_that_never_reconnects: NeverReconnects, Kafka =>
        outages::a_consumer_goes_on_after_its_connection_was_cut,
        outages::a_consumer_connects_again_though_its_calls_are_dropped;
}

// What is declared and not done.
red! {
    dedupe_that_is_declared: Declares(|c| c.dedupe = Dedupe::Window(std::time::Duration::from_secs(60))), Pulsar =>
        publishing::the_same_id_within_the_window_is_stored_once, outages::cut_connections_lose_no_message;
    dedupe_that_is_not_declared: Declares(|c| c.dedupe = Dedupe::None), Nats =>
        publishing::without_dedupe_the_same_id_is_stored_twice;
    a_window_of_dedupe_that_is_shorter: Declares(|c| c.dedupe = Dedupe::Window(std::time::Duration::from_secs(60))), Fifo =>
        publishing::the_same_id_after_the_window_is_stored_again;
    durable_messages_that_are_lost: Declares(|c| c.durable = true), Own =>
        outages::stored_messages_survive_a_restart, outages::a_server_that_restarts_twice_under_load_loses_nothing;
    durable_acknowledgements_that_are_lost: Declares(|c| c.ack = recount_messaging::AckSupport::Cumulative), Pulsar =>
        outages::durable_acknowledgements_survive_a_restart;
    a_release_to_the_other_end: Declares(|c| c.release = Release::Back { counts: true }), Nats =>
        settling::a_released_message_goes_where_it_is_declared;
    a_release_that_counts: Declares(|c| c.release = Release::Front { counts: false }), Nats =>
        settling::deliveries_are_counted_as_declared;
    counts_that_are_not_exact: Declares(|c| c.attempts = AttemptCount::Exact), Pulsar =>
        settling::deliveries_are_counted_as_declared, settling::the_count_after_a_reconnect_is_as_declared;
    a_limit_of_attempts_that_is_lower: Declares(|c| c.attempt_limit = Some(21)), RabbitMq =>
        settling::the_attempt_limit_is_as_declared;
    a_limit_of_attempts_that_is_higher: Declares(|c| c.attempt_limit = Some(19)), RabbitMq =>
        settling::the_attempt_limit_is_as_declared;
    a_delay_that_loses_the_order: Declares(|c| c.retry = c.retry.map(|retry| NativeRetry { keeps_order: true, ..retry })), Own =>
        settling::a_native_retry_keeps_the_order_as_declared;
    a_delay_that_is_not_there: Declares(|c| c.retry = Some(NativeRetry {
            min: std::time::Duration::ZERO,
            max: std::time::Duration::from_secs(60),
            keeps_order: true,
            uses_window: false,
        })), Kafka => settling::a_native_retry_waits_for_its_delay;
    a_delay_that_is_not_declared: Declares(|c| c.retry = Option::None), Fifo =>
        settling::without_native_retry_it_is_unsupported;
    history_that_is_declared: Declares(|c| c.late_group_gets_history = true), Fifo =>
        publishing::a_late_group_gets_history_as_declared, publishing::a_topic_without_groups_keeps_history_as_declared;
    history_that_is_not_declared: Declares(|c| c.late_group_gets_history = false), Kafka =>
        publishing::a_late_group_gets_history_as_declared;
    a_list_of_topics_that_is_declared: Declares(|c| c.lists_topics = true), RabbitMq =>
        declaring::topics_are_listed_as_declared;
    a_list_of_topics_that_is_not_declared: Declares(|c| c.lists_topics = false), Pulsar =>
        declaring::topics_are_listed_as_declared;
    a_limit_of_sizes_that_is_lower: Declares(|c| c.max_message.bytes += 1), Nats =>
        limits::one_byte_over_the_limit_is_refused_and_its_neighbours_are_stored;
    a_limit_of_sizes_that_is_higher: Declares(|c| c.max_message.bytes -= 1), Nats =>
        limits::one_byte_over_the_limit_is_refused_and_its_neighbours_are_stored;
    a_key_that_is_not_withheld: Declares(|c| c.order = OrderSupport::Key { withheld: true }), PubSub =>
        order::a_withheld_key_has_one_message_out;
    a_key_that_is_withheld: Declares(|c| c.order = OrderSupport::Key { withheld: false }), Own =>
        order::messages_of_a_key_are_out_together_unless_withheld;
    a_lease_that_is_shorter: Declares(|c| c.lease = c.lease.map(|lease| recount_messaging::Lease {
            default: lease.default * 2,
            ..lease
        })), Own => leases::a_delivery_says_when_its_lease_ends;
}

#[test]
fn every_promise_is_broken_by_a_defect() {
    let (list, defects) = (include_str!("../src/broker/mod.rs"), include_str!("broker_red.rs"));
    let start = list.find("declaring {").unwrap();
    let list = &list[start..start + list[start..].find("macro_rules! __broker_promises").unwrap()];
    let promises = list.lines().map(str::trim).filter(|line| line.contains('_') && !line.contains([' ', '#', '[']));
    let promises: Vec<_> = promises.collect();
    assert!(promises.len() > 70, "the list is read: {promises:?}");
    let missing: Vec<_> = promises.iter().filter(|promise| !defects.contains(&format!("::{promise}"))).collect();
    assert!(missing.is_empty(), "no defect breaks {missing:?}");
}

//! The conformance suite of message brokers: the promises of every adapter, one named test each.
//!
//! An adapter shows how to connect to its server and which interventions the server allows ([`Harness`]), and lists the
//! whole suite with one macro, [`broker_suite!`](crate::broker_suite). It declares the broker's abilities in its
//! [`Capabilities`](recount_messaging::Capabilities); the suite compares them with the observed ones, and prints the
//! promises that are not tested.
//!
//! ```
//! use std::sync::Arc;
//!
//! use recount_messaging::{Broker, InProcess, Topic};
//! use recount_testing::broker::{Abilities, Harness};
//!
//! struct Memory(InProcess);
//!
//! #[async_trait::async_trait]
//! impl Harness for Memory {
//!     async fn broker(&self) -> Arc<dyn Broker> {
//!         Arc::new(self.0.connect())
//!     }
//!     async fn kill(&self) {
//!         self.0.faults().kill();
//!     }
//!     async fn start(&self) {
//!         self.0.faults().start();
//!     }
//!     async fn cut_connections(&self) {
//!         self.0.faults().cut_connections();
//!     }
//!     async fn freeze(&self) {
//!         self.0.faults().freeze();
//!     }
//!     async fn thaw(&self) {
//!         self.0.faults().thaw();
//!     }
//!     async fn publish_raw(&self, _: &Topic, _: &str, _: &[(&str, &[u8])], _: &[u8]) {
//!         unreachable!("it is not declared")
//!     }
//!     fn abilities(&self) -> Abilities {
//!         Abilities { raw: false, ..Abilities::default() }
//!     }
//! }
//!
//! recount_testing::broker_suite!(Memory(InProcess::new()));
//! # fn main() {}
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a suite of tests reports by panicking")]

pub mod by_hand;
pub mod campaign;
pub mod consuming;
pub mod declaring;
mod documented;
pub mod envelope;
pub mod expiry;
pub mod groups;
mod harness;
pub mod leases;
pub mod limits;
pub mod order;
pub mod outages;
mod proxy;
pub mod publishing;
mod reader;
pub mod settling;
mod support;

pub use documented::documented;
pub use harness::{Abilities, Harness, check};
pub use proxy::{Proxy, accept};
use reader::Reader;

/// Lists the whole conformance suite as tests of the broker that the expression connects to, which must be a
/// [`Harness`](crate::broker::Harness) and may `.await`. It is evaluated anew for each test.
#[macro_export]
macro_rules! broker_suite {
    ($harness:expr) => {
        $crate::broker_suite! { $harness, by $crate::broker::check }
    };
    ($harness:expr, by $check:path) => {
        $crate::__broker_promises! { $check, $harness;
            declaring {
                ensure_is_idempotent
                a_dry_run_changes_nothing
                another_number_of_lanes_is_a_mismatch
                a_plan_may_repeat_itself_and_not_contradict_itself
                a_time_out_of_its_bounds_is_refused_by_name
                a_binding_that_was_not_ensured_is_missing
                a_topic_that_was_not_ensured_takes_no_message
                a_closed_connection_says_so
                topics_are_listed_as_declared
            }
            publishing {
                a_hundred_messages_arrive_equal
                many_publishers_and_many_groups_get_everything
                topics_do_not_cross
                closing_right_after_publishing_loses_nothing
                closing_while_publishing_tells_every_fate
                the_same_id_within_the_window_is_stored_once
                the_same_id_from_another_source_is_stored
                the_same_id_after_the_window_is_stored_again
                without_dedupe_the_same_id_is_stored_twice
                a_late_group_gets_history_as_declared
                a_group_that_starts_at_the_latest_gets_no_history
                a_topic_without_groups_keeps_history_as_declared
            }
            consuming {
                what_is_released_comes_again
                consumers_that_only_release_lose_nothing
                what_is_acknowledged_does_not_come_again
                what_is_only_taken_comes_again_after_a_drain
                an_open_message_comes_again_though_later_ones_were_acknowledged
                a_drain_releases_what_is_open
                closing_and_reopening_loses_nothing
                a_dropped_consumer_loses_nothing
                a_dropped_next_hides_no_message
                a_dropped_ticket_comes_again
                a_delivery_needs_room
                the_room_in_bytes_is_kept
                a_quiet_consumer_is_idle
                what_is_rejected_does_not_come_again
            }
            groups {
                an_unordered_group_gets_everything
                two_groups_each_get_everything
                members_share_the_messages_of_a_group
                the_end_of_one_connection_disturbs_no_other
            }
            order {
                a_thousand_messages_keep_the_order_of_each_key
                order_survives_redelivery
                a_withheld_key_has_one_message_out
                messages_of_a_key_are_out_together_unless_withheld
                a_member_that_leaves_hands_its_lanes_over_in_order
                a_member_that_dies_hands_its_lanes_over_in_order
                order_survives_a_cut_connection
                members_that_come_and_go_lose_nothing_and_keep_the_order
                a_rolling_deploy_under_load_loses_nothing_and_keeps_the_order
            }
            settling {
                a_released_message_goes_where_it_is_declared
                deliveries_are_counted_as_declared
                a_first_delivery_has_no_earlier_ones
                the_count_after_a_reconnect_is_as_declared
                the_attempt_limit_is_as_declared
                a_native_retry_waits_for_its_delay
                a_native_retry_keeps_the_order_as_declared
                without_native_retry_it_is_unsupported
                each_outcome_belongs_to_its_mark
                a_ticket_of_another_consumer_settles_nothing
            }
            leases {
                a_delivery_says_when_its_lease_ends
                an_acknowledgement_after_the_lease_is_stale
                another_member_gets_a_message_whose_lease_ended
                an_extended_lease_is_kept
                an_ended_lease_is_not_extended
                order_survives_the_end_of_a_lease
            }
            envelope {
                every_attribute_arrives_equal
                bodies_arrive_byte_for_byte
                headers_arrive_equal
                hostile_keys_arrive_equal
                an_empty_key_is_no_key
                a_malformed_message_is_delivered_with_its_raw_bytes
                a_structured_foreign_message_is_read
                foreign_messages_arrive_in_the_lanes_of_their_keys
            }
            expiry {
                an_expiring_group_is_removed_when_it_is_not_used
                a_topic_forgets_messages_after_its_time
            }
            limits {
                one_byte_over_the_limit_is_refused_and_its_neighbours_are_stored
                headers_over_the_limit_are_refused_and_their_neighbours_are_stored
                each_fate_belongs_to_its_message
            }
            outages {
                stored_messages_survive_a_restart
                a_server_that_restarts_twice_under_load_loses_nothing
                durable_acknowledgements_survive_a_restart
                calls_return_while_the_server_is_down
                calls_return_while_the_server_is_frozen
                drain_and_close_return_while_the_server_is_frozen
                drain_and_close_return_while_the_server_is_down
                cut_connections_lose_no_message
                a_consumer_goes_on_after_its_connection_was_cut
                a_consumer_connects_again_though_its_calls_are_dropped
                health_follows_the_server
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __broker_promises {
    ($check:path, $harness:expr; $topic:ident { $($promise:ident)* } $($rest:tt)*) => {
        mod $topic {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $promise() {
                $check(async { $harness }, $crate::broker::$topic::$promise);
            })*
        }
        $crate::__broker_promises! { $check, $harness; $($rest)* }
    };
    ($check:path, $harness:expr;) => {};
}

#[cfg(test)]
mod tests {
    /// A promise that is written but not listed would never be tested.
    #[test]
    fn every_promise_is_listed() {
        let list = include_str!("mod.rs");
        let topics = [
            include_str!("consuming.rs"),
            include_str!("declaring.rs"),
            include_str!("envelope.rs"),
            include_str!("expiry.rs"),
            include_str!("groups.rs"),
            include_str!("leases.rs"),
            include_str!("limits.rs"),
            include_str!("order.rs"),
            include_str!("outages.rs"),
            include_str!("publishing.rs"),
            include_str!("settling.rs"),
        ];
        let promises = topics.iter().flat_map(|topic| topic.split("\npub async fn ").skip(1));
        for promise in promises.map(|text| text.split('(').next().unwrap()) {
            assert!(list.contains(&format!(" {promise}\n")), "{promise} is not listed");
        }
    }
}

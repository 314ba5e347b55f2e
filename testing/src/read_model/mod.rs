//! The conformance suite of read models: the promises of each to projections, one named test each.
//!
//! A read model shows how to open it and how to write to it ([`Harness`]), and lists the whole suite with one macro,
//! [`read_model_suite!`](crate::read_model_suite):
//!
//! ```
//! use std::sync::{Arc, Mutex, PoisonError};
//!
//! use recount_core::{BoxError, InMemory, Store};
//! use recount_store_memory::MemoryStore;
//! use recount_testing::read_model::Harness;
//!
//! #[derive(Default)]
//! struct Memory {
//!     model: InMemory,
//!     written: Mutex<Vec<u64>>,
//! }
//!
//! impl Harness for Memory {
//!     type Model = InMemory;
//!
//!     async fn store(&self) -> Arc<dyn Store> {
//!         Arc::new(MemoryStore::new())
//!     }
//!     async fn open(&self) -> InMemory {
//!         self.model.clone()
//!     }
//!     async fn prepare(&self, (): &mut ()) -> Result<(), BoxError> {
//!         Ok(())
//!     }
//!     async fn write(&self, (): &mut (), position: u64) -> Result<(), BoxError> {
//!         self.written.lock().unwrap_or_else(PoisonError::into_inner).push(position);
//!         Ok(())
//!     }
//!     async fn clear(&self, (): &mut ()) -> Result<(), BoxError> {
//!         self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
//!         Ok(())
//!     }
//!     async fn written(&self) -> Vec<u64> {
//!         self.written.lock().unwrap().clone()
//!     }
//!     fn has_instances(&self) -> bool {
//!         false
//!     }
//! }
//!
//! recount_testing::read_model_suite!(Memory::default());
//! # fn main() {}
//! ```

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a suite of tests reports by panicking")]

pub mod checkpoint;
pub mod exactly_once;
pub mod failures;
pub mod filter;
mod harness;
pub mod rebuild;
pub mod runners;
pub(crate) mod writing;

pub use harness::{Harness, check};

/// Lists the whole conformance suite as tests of the read model that the expression opens, which must be a
/// [`Harness`](crate::read_model::Harness) and may `.await`. It is evaluated anew for each test.
#[macro_export]
macro_rules! read_model_suite {
    ($harness:expr) => {
        $crate::__promises! { read_model, $harness;
            exactly_once {
                every_event_is_written_once_in_order
                a_failed_event_is_undone_and_those_before_it_are_kept
                an_event_that_fails_for_a_while_is_written_once
                a_commit_whose_answer_is_lost_counts_once
            }
            checkpoint {
                a_checkpoint_never_moves_back
                every_part_of_a_checkpoint_is_kept_and_compared
                a_dropped_transaction_leaves_nothing
            }
            runners {
                a_second_projection_of_a_name_is_refused
                a_name_is_free_once_its_projection_is_over
                two_instances_write_everything_once
                a_runner_in_an_open_transaction_holds_up_no_other_for_long
            }
            failures {
                a_panic_is_a_failure_with_its_message
                an_outage_uses_up_no_retry_budget
                a_handler_that_hangs_is_ended_and_tried_again
                handlers_that_take_too_long_write_each_event_once
                a_projection_whose_runtime_ended_says_so
            }
            rebuild {
                checkpoints_are_listed_with_their_filters
                a_running_projection_starts_over_by_order
                an_order_is_followed_at_the_next_start
                a_rebuild_under_traffic_ends_with_every_event_once
                a_failing_reset_leaves_the_order
                a_projection_without_reset_goes_on
                an_order_of_two_runners_is_followed_once
                an_unknown_projection_is_not_ordered
            }
            filter {
                another_filter_is_refused_and_named
                another_filter_starts_over_by_choice
                another_filter_goes_on_by_choice
                an_older_program_does_not_move_a_newer_checkpoint
                each_program_goes_on_by_choice_once
                each_program_starts_over_by_choice_once
                an_order_does_not_hide_another_filter
            }
        }
    };
}

//! The conformance suite of questions between services: typed requests with replies, over each broker.
//!
//! A test program shows how to connect to its broker ([`Carrier`]), and lists the whole suite with one macro,
//! [`question_suite!`](crate::question_suite). Promises that a broker does not make are printed as not tested.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a suite of tests reports by panicking")]

pub mod answering;
pub mod deadlines;
pub mod failing;
mod topics;
mod world;

pub use topics::Topics;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_core::Store;
use recount_messaging::{Broker, Topic};

/// How long a promise may take before it counts as stuck.
const LIMIT: Duration = Duration::from_secs(120);

/// A broker under test. The tests of a program may share one server: each uses topics of its own.
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// Connects anew: each call gives an independent connection, as another process would have.
    async fn broker(&self) -> Arc<dyn Broker>;

    /// A new store, for a service.
    fn store(&self) -> Arc<dyn Store>;

    /// Cuts every connection to the server, which goes on.
    async fn cut_connections(&self);

    /// Sends a question that was not made by recount: native headers and a body.
    async fn question_raw(&self, topic: &Topic, headers: &[(&str, &[u8])], body: &[u8]);

    /// Sends a reply that was not made by recount to an address.
    async fn reply_raw(&self, address: &str, headers: &[(&str, &[u8])], body: &[u8]);
}

/// Lists the whole suite as tests of the broker that the expression connects to, which must be a
/// [`Carrier`](crate::questions::Carrier) and may `.await`. It is evaluated anew for each test.
#[macro_export]
macro_rules! question_suite {
    ($carrier:expr) => {
        $crate::question_suite! { $carrier, by $crate::questions::check }
    };
    ($carrier:expr, by $check:path) => {
        $crate::__question_promises! { $check, $carrier;
            answering {
                a_question_has_its_reply
                many_replies_come_in_order_and_end
                a_slow_asker_holds_its_responder_up
                a_count_ends_the_replies
                two_responders_share_the_questions
                a_question_that_is_delivered_again_has_equal_replies
                replies_over_the_limit_of_a_record_come_all_the_same
                an_asker_goes_on_after_its_connection_was_cut
                a_reply_comes_though_its_connection_was_cut
            }
            deadlines {
                an_expired_question_is_not_answered
                a_handler_is_dropped_at_the_deadline
                a_late_reply_is_counted
                a_dropped_stream_stops_its_handler
                a_responder_that_ends_in_the_middle_is_replaced
            }
            failing {
                without_a_responder_the_asker_hears_so
                a_failure_has_its_reason_and_its_class
                an_unknown_question_names_the_known_ones
                a_question_over_the_limit_is_refused
                a_reply_over_the_limit_is_a_failure
                hostile_bytes_as_a_question_harm_no_other
                hostile_bytes_as_a_reply_harm_no_other
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __question_promises {
    ($check:path, $carrier:expr; $topic:ident { $($promise:ident)* } $($rest:tt)*) => {
        mod $topic {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $promise() {
                $check(async { $carrier }, $crate::questions::$topic::$promise);
            })*
        }
        $crate::__question_promises! { $check, $carrier; $($rest)* }
    };
    ($check:path, $carrier:expr;) => {};
}

/// Runs one promise on a runtime of its own. [`question_suite!`](crate::question_suite) expands to calls of it.
///
/// # Panics
/// If the promise does not hold, or takes longer than two minutes.
#[track_caller]
pub fn check<C: Carrier>(carrier: impl Future<Output = C>, promise: impl AsyncFnOnce(&dyn Carrier)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a tokio runtime");
    runtime.block_on(async {
        let carrier = carrier.await;
        tokio::time::timeout(LIMIT, promise(&carrier)).await.expect("the promise is stuck");
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Whether the suite may test this: if not, says so where people look, and the test ends.
fn declared(ability: bool, what: &str) -> bool {
    if !ability {
        // Straight to standard error: the test harness hides the output of a passing test.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "NOT TESTED, not declared by this broker: {what} ({test})");
    }
    ability
}

#[cfg(test)]
mod tests {
    /// A promise that is written but not listed would never be tested.
    #[test]
    fn every_promise_is_listed() {
        let list = include_str!("mod.rs");
        let topics = [include_str!("answering.rs"), include_str!("deadlines.rs"), include_str!("failing.rs")];
        let promises = topics.iter().flat_map(|topic| topic.split("\npub async fn ").skip(1));
        for promise in promises.map(|text| text.split('(').next().unwrap()) {
            assert!(list.contains(&format!(" {promise}\n")), "{promise} is not listed");
        }
    }
}

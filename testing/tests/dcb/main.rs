//! The published examples of dynamic consistency boundaries (dcb.events) as given / when / then cases.
//!
//! Each file is one example: its events, its decisions, its cases. `races` runs them against a store, twice at once.

#![expect(clippy::unwrap_used, reason = "tests")]

extern crate recount_core as recount;

mod courses;
mod invoices;
mod opt_in;
mod prices;
mod races;
mod tokens;
mod usernames;

use recount_core::Timestamp;

const DAY: i64 = 24 * 60;

/// A moment, by the minutes since the test's beginning of time.
fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap()
}

/// The minutes since the test's beginning of time.
fn minutes(time: Timestamp) -> i64 {
    time.as_second() / 60
}

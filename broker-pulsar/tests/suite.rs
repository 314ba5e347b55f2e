//! The conformance suite of brokers against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::Suite;

recount_testing::broker_suite!(Suite::start().await);

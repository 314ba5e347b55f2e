//! The test kit of recount.
//!
//! * [`given`](given()): what happened, what is asked for, what should happen, for aggregates, decisions and projections.
//! * [`store`]: the conformance suite that every store passes, and [`store_suite!`] that lists it.
//! * [`model::run`]: random operations on two stores, whose answers must be the same.
//! * [`FaultyStore`]: a store that fails when told to, and counts what it is asked.

mod diff;
mod faults;
pub mod given;
pub mod model;
pub mod store;

pub use faults::{Fault, FaultyStore, Operation};
pub use given::{given, given_events, given_nothing};

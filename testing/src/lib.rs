//! The test kit of recount.
//!
//! * [`store`]: the conformance suite that every store passes, and [`store_suite!`] that lists it.
//! * [`model::run`]: random operations on two stores, whose answers must be the same.
//! * [`FaultyStore`]: a store that fails when told to, and counts what it is asked.

mod diff;
mod faults;
pub mod model;
pub mod store;

pub use faults::{Fault, FaultyStore, Operation};

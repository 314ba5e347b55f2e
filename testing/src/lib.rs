//! The test kit of recount.
//!
//! * [`store`]: the conformance suite that every store passes, and [`store_suite!`] that lists it.
//! * [`FaultyStore`]: a store that fails when told to, and counts what it is asked.

mod faults;
pub mod store;

pub use faults::{Fault, FaultyStore, Operation};

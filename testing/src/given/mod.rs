//! given / when / then: earlier events, a command or decision, the expected outcome.
//!
//! No store, no runtime, no clock: domain code is pure, so its tests are. Every event that a test mentions goes
//! through its stored form and back, so an event that can't be stored or read again fails here first.

mod aggregate;
mod events;
mod outcome;
mod process;
mod storage;

pub use aggregate::{Given, given};
pub use events::{GivenEvents, given_events, given_nothing};
pub use outcome::Outcome;
pub use process::{AnyOrder, GivenFacts, NextStep, RunningProcess, SEED_VARIABLE, any_order, given_facts};

//! The test kit of recount.
//!
//! * [`given`](given()): past events, a request and the expected outcome, for aggregates, decisions and projections.
//! * [`given_facts`]: past facts, an input and the expected step, for processes. [`RunningProcess`] runs one on a store, and
//!   [`any_order`] in many orders, with duplicates and crashes.
//! * [`process`]: the conformance suite of processes, and [`process_suite!`] that lists it.
//! * [`store`]: the conformance suite that every store passes, and [`store_suite!`] that lists it.
//! * [`read_model`]: the conformance suite of read models, and [`read_model_suite!`] that lists it.
//! * [`inline`]: the conformance suite of inline projections, and [`inline_suite!`] that lists it.
//! * [`broker`]: the conformance suite of message brokers, and [`broker_suite!`] that lists it.
//! * [`questions`]: the conformance suite of questions between services, and [`question_suite!`] that lists it.
//! * [`model::run`]: random operations on two stores that must give the same answers.
//! * [`StoreWrapper`]: a store that answers some calls itself and passes the others on.
//! * [`FaultyStore`]: a store that fails when told to, and counts its calls; [`FaultyReadModel`] likewise.

// The derives name the crate by the name that applications know.
extern crate recount_core as recount;

pub mod broker;
mod diff;
mod faults;
mod faulty_read_model;
pub mod given;
pub mod inline;
pub mod model;
pub mod process;
mod promises;
pub mod questions;
pub mod read_model;
pub mod store;
mod wrapper;

pub use faults::{Call, Fault, FaultyStore, Operation};
pub use faulty_read_model::{FaultyReadModel, Step};
pub use given::{RunningProcess, any_order, given, given_events, given_facts, given_nothing};
pub use wrapper::{StoreWrapper, Wrapped};

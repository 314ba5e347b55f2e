//! How whoever is measured is asked: one process a turn, so that everybody starts alike.
//!
//! A turn comes as one argument, in JSON. The process connects, warms up, says `ready`, waits for a line, works, and
//! answers with one line of JSON. It speaks on standard error: a peer's memory store prints to standard output.

#![allow(missing_docs, reason = "fields that say what they are")]

mod load;
mod sale;
mod turn;

pub use load::{load, once};
pub use sale::{Sale, sale};
pub use turn::{Answer, READY, Scenario, Turn, go, now_us, serve};

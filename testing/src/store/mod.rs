//! The conformance suite of stores: what every store promises, one named test each.
//!
//! A store shows how to open it ([`Harness`]) and lists the whole suite with one macro,
//! [`store_suite!`](crate::store_suite):
//!
//! ```ignore
//! // tests/suite.rs
//! struct Memory(MemoryStore);
//!
//! #[async_trait]
//! impl Harness for Memory {
//!     async fn open(&self) -> Arc<dyn Store> {
//!         Arc::new(self.0.clone())
//!     }
//! }
//!
//! recount_testing::store_suite!(Memory(MemoryStore::new()));
//! ```
//!
//! Every promise is an ordinary async function over a [`Harness`], so a single one can also be called from a test of
//! your own. A promise that a store can't give is declared in its [`Capabilities`]: the test then says on standard
//! error what was not tested, whether it passes or not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite of tests reports by panicking")]

pub mod append;
pub mod boundary;
mod harness;
pub mod idempotency;
#[macro_use]
mod promises;
pub mod read;
pub mod support;

pub use harness::{Boxed, Capabilities, Faultless, Harness, check};

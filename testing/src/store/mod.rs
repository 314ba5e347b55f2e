//! The conformance suite of stores: the promises of every store, one named test each.
//!
//! A store shows how to open it ([`Harness`]) and lists the whole suite with one macro,
//! [`store_suite!`](crate::store_suite):
//!
//! ```
//! // tests/suite.rs
//! use std::sync::{Arc, Mutex};
//!
//! use async_trait::async_trait;
//! use recount_core::Store;
//! use recount_store_memory::MemoryStore;
//! use recount_testing::store::Harness;
//!
//! #[derive(Default)]
//! struct Memory {
//!     store: MemoryStore,
//!     copy: Mutex<Option<MemoryStore>>,
//! }
//!
//! #[async_trait]
//! impl Harness for Memory {
//!     async fn open(&self) -> Arc<dyn Store> {
//!         Arc::new(self.store.clone())
//!     }
//!     async fn open_another(&self) -> Arc<dyn Store> {
//!         Arc::new(MemoryStore::new())
//!     }
//!     async fn save(&self) {
//!         *self.copy.lock().unwrap() = Some(self.store.backup().unwrap());
//!     }
//!     async fn restore(&self) {
//!         self.store.restore(self.copy.lock().unwrap().as_ref().unwrap()).unwrap();
//!     }
//! }
//!
//! recount_testing::store_suite!(Memory::default());
//! # fn main() {}
//! ```
//!
//! Every promise is an ordinary async function over a [`Harness`], so a single one can also be called from a test of
//! your own. A promise that a store can't give is declared in its [`Capabilities`]: the test then says on standard
//! error that the promise was not tested, whether it passes or not.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a suite of tests reports by panicking")]

pub mod append;
pub mod boundary;
pub mod concurrency;
pub mod conditions;
pub mod handlers;
mod harness;
pub mod history;
pub mod idempotency;
pub mod key_retention;
pub mod lease;
pub mod lifecycle;
pub mod names;
pub mod order;
pub mod payload;
#[macro_use]
mod promises;
pub mod probe;
pub mod read;
pub mod shared_keys;
pub mod state;
pub mod state_batch;
pub mod subscribe;
pub mod support;
pub mod watch;

pub use harness::{Boxed, Capabilities, Faultless, Harness, check};

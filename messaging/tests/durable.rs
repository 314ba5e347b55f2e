//! The in-process broker with a store keeps the promises of every broker, and those of a durable one. Time is virtual.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod in_process_common;

use std::sync::Arc;
use std::time::Duration;

use in_process_common::harness::{Server, in_virtual_time, settings};
use recount_messaging::{InProcess, Profile};
use recount_store_memory::MemoryStore;

/// A server that reads its store again after each `kill`.
async fn durable() -> Server {
    let broker = InProcess::durable_with(Arc::new(MemoryStore::new()), settings(Profile::Own)).await.unwrap();
    Server { broker, patience: Duration::from_secs(3600) }
}

recount_testing::broker_suite!(durable().await, by in_virtual_time);

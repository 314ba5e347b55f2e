//! What leases promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::sync::Arc;
use std::time::Duration;

use recount_core::{Lease, LeaseError};
use recount_store_memory::MemoryStore;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn one_holder_at_a_time() {
    let store = Arc::new(MemoryStore::new());
    let mut held = Lease::acquire(Arc::clone(&store), "sales", "node 1", LONG).await.unwrap();
    let refused = Lease::acquire(Arc::clone(&store), "sales", "node 2", LONG).await.unwrap_err();
    assert_eq!(refused.to_string(), "lease sales is held by node 1");
    held.renew().await.unwrap();
    let _other = Lease::acquire(Arc::clone(&store), "sales-2", "node 2", LONG).await.unwrap();
    let first = held.token();
    held.release().await.unwrap();
    let next = Lease::acquire(store, "sales", "node 2", LONG).await.unwrap();
    assert!(next.token() > first);
}

#[tokio::test]
async fn a_holder_that_slept_too_long_finds_out() {
    let store = Arc::new(MemoryStore::new());
    let mut sleeper = Lease::acquire(Arc::clone(&store), "sales", "node 1", SHORT).await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    let next = Lease::acquire(store, "sales", "node 2", LONG).await.unwrap();
    assert!(next.token() > sleeper.token(), "the token fences off the sleeper");
    assert!(matches!(sleeper.renew().await, Err(LeaseError::Held { holder, .. }) if holder == "node 2"));
    assert!(sleeper.release().await.is_err(), "it must not release another's lease");
}

//! Leases on the store's state: one holder, and tokens that fence off the one before.

use std::time::Duration;

use recount_core::{ExpectedRevision, Lease, LeaseError};

use super::Harness;
use super::support::*;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(100);

/// If several callers ask for a lease at once, exactly one gets it.
pub async fn a_lease_has_one_holder(h: &dyn Harness) {
    let stores = [h.open().await, h.open().await];
    for round in 0..scaled(h, 10) {
        let held = race(8, |task| {
            let store = stores[task % 2].clone();
            async move { Lease::acquire(store, &format!("l{round}"), &format!("node {task}"), LONG).await }
        })
        .await;
        assert_eq!(held.iter().filter(|held| held.is_ok()).count(), 1, "round {round}");
    }
}

/// Released, it is free at once; the next holder's token is greater.
pub async fn a_released_lease_is_free(h: &dyn Harness) {
    let store = h.open().await;
    let mut first = Lease::acquire(store.clone(), "l", "node 1", LONG).await.unwrap();
    first.renew().await.unwrap();
    let token = first.token();
    first.release().await.unwrap();
    assert!(Lease::acquire(store, "l", "node 2", LONG).await.unwrap().token() > token);
}

/// A holder that was paused for longer than its lease is told so, and its token is behind the next holder's; its late
/// writes against the state it knew are refused.
pub async fn a_paused_holder_is_fenced_off(h: &dyn Harness) {
    let (store, other) = (h.open().await, h.open().await);
    let mut paused = Lease::acquire(store.clone(), "l", "node 1", SHORT).await.unwrap();
    let checkpoint = state_key("checkpoint");
    let known = store.put(&checkpoint, "10".into(), ExpectedRevision::Absent, None).await.unwrap();
    let next = loop {
        match Lease::acquire(other.clone(), "l", "node 2", LONG).await {
            Ok(next) => break next,
            Err(LeaseError::Held { .. }) => tokio::time::sleep(SHORT / 4).await,
            Err(error) => panic!("{error}"),
        }
    };
    other.put(&checkpoint, "20".into(), ExpectedRevision::Exact(known), None).await.unwrap();
    assert!(next.token() > paused.token());
    assert!(matches!(paused.renew().await, Err(LeaseError::Held { holder, .. }) if holder == "node 2"));
    assert!(store.put(&checkpoint, "11".into(), ExpectedRevision::Exact(known), None).await.is_err());
    assert!(paused.release().await.is_err(), "another's lease must not be released");
}

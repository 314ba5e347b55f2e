//! How long readers wait for appends under way, as the metric `recount.store.safe_head.lag` shows it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Fresh, append};
use recount_core::EventStore;
use sqlx::Connection;

/// It is the age of the oldest transaction with an append, of this store alone, and nothing once that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_the_age_of_the_oldest_append_under_way() {
    let fresh = Fresh::new().await;
    let (store, another) = (fresh.store().await, fresh.another().await);
    store.append(append("a", 1)).await.unwrap();
    assert_eq!(store.visibility_lag().await.unwrap(), Duration::ZERO);
    let (mut one, mut other) = (fresh.shell().await, fresh.shell().await);
    let mut old = one.begin().await.unwrap();
    store.append_in(&mut old, append("b", 1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut young = other.begin().await.unwrap();
    store.append_in(&mut young, append("c", 1)).await.unwrap();
    let lag = store.visibility_lag().await.unwrap();
    assert!((Duration::from_millis(500)..Duration::from_secs(30)).contains(&lag), "{lag:?}");
    assert_eq!(another.visibility_lag().await.unwrap(), Duration::ZERO);
    old.commit().await.unwrap();
    let younger = store.visibility_lag().await.unwrap();
    assert!(younger > Duration::ZERO && younger < lag, "{younger:?} after {lag:?}");
    young.rollback().await.unwrap();
    assert_eq!(store.visibility_lag().await.unwrap(), Duration::ZERO);
}

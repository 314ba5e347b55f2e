//! Instances tell each other of appends once they know of each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Fresh, append};
use recount_core::EventStore;
use recount_store_postgres::PostgresStore;
use tokio::time::timeout;

/// Sessions whose last statement told others of an append.
const TOLD: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE '%synchronous_commit%pg_notify%' AND pid <> pg_backend_pid()";

/// Whether that was ever seen while one append came after the other.
async fn tells(fresh: &Fresh, store: &PostgresStore, looks: usize) -> bool {
    let mut shell = fresh.shell().await;
    for _ in 0..looks {
        for _ in 0..3 {
            store.append(append("a", 1)).await.unwrap();
        }
        let told: i64 = sqlx::query_scalar(TOLD).fetch_one(&mut shell).await.unwrap();
        if told > 0 {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_alone_tells_nobody_until_another_begins_to_listen() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    assert!(!tells(&fresh, &store, 100).await);

    let other = fresh.store().await;
    let mut watch = other.watch();
    for round in 0..20 {
        let appended = store.append(append("a", 1)).await.unwrap();
        let reached = timeout(Duration::from_secs(5), watch.wait_for(|head| *head >= appended.position));
        assert!(reached.await.is_ok_and(|head| head.is_ok()), "append {round} is not seen");
    }
    assert!(tells(&fresh, &store, 5000).await);
    assert!(tells(&fresh, &other, 5000).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_late_learns_of_what_nobody_watched() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let mut newest = None;
    for _ in 0..20 {
        newest = Some(store.append(append("a", 3)).await.unwrap().position);
    }
    let mut watch = store.watch();
    // Well before a poll would see it.
    timeout(Duration::from_millis(500), watch.wait_for(|head| Some(*head) >= newest)).await.unwrap().unwrap();
}

//! What expires is decided by tokio's clock, which tests can pause; forgetting needs no one to look.

use std::time::Duration;

use recount_core::{ExpectedRevision, Namespace, StateKey, StateStore};
use recount_store_memory::MemoryStore;

#[tokio::test(start_paused = true)]
async fn a_paused_clock_decides_what_expires() {
    let store = MemoryStore::new();
    let key = StateKey::new("lease").unwrap();
    let hour = Duration::from_secs(3600);
    let first = store.put(&key, "a".into(), ExpectedRevision::Absent, Some(hour)).await.unwrap();
    tokio::time::advance(hour - Duration::from_millis(1)).await;
    assert_eq!(store.get(&key).await.unwrap().unwrap().revision, first);
    // Renewed just in time: the first expiry is void.
    store.put(&key, "b".into(), ExpectedRevision::Exact(first), Some(hour)).await.unwrap();
    tokio::time::advance(hour - Duration::from_millis(1)).await;
    assert!(store.get(&key).await.unwrap().is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(store.list(Namespace::USER, "", None, 10).await.unwrap(), []);
}

//! What expires is decided by tokio's clock, which tests can pause; forgetting needs no one to look.

use std::time::Duration;

use futures_util::StreamExt;
use recount_core::{
    Append, EventData, EventStore, EventType, ExpectedRevision, ExpectedVersion, Namespace, ReadStream, StateKey,
    StateStore, StreamId,
};
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

#[tokio::test(start_paused = true)]
async fn events_are_recorded_by_the_same_clock() {
    let store = MemoryStore::new();
    let record = async |stream: &str| {
        let event = EventData::new(EventType::new("happened").unwrap(), "");
        let stream = StreamId::new("thing", stream).unwrap();
        store.append(Append::to(stream.clone(), ExpectedVersion::NoStream, vec![event])).await.unwrap();
        store.read_stream(ReadStream::new(stream)).next().await.unwrap().unwrap().recorded_at
    };
    let first = record("a").await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    let second = record("b").await;
    assert!(second.duration_since(first).as_secs() >= 3599, "{first} {second}");
    assert!(second <= store.now().await.unwrap());
}

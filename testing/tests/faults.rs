//! Faults happen where they were put, and only there.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use recount_core::{
    Append, AppendError, EventStore, ExpectedRevision, ExpectedVersion, IdempotencyKey, Query, ReadAll, ReadStream,
    StateError, StateKey, StateStore, StoreError,
};
use recount_store_memory::MemoryStore;
use recount_testing::store::support::{events, read, stream};
use recount_testing::{Fault, FaultyStore, Operation};

fn append() -> Append {
    Append::to(stream("s"), ExpectedVersion::Any, events(1)).idempotency_key(IdempotencyKey::new("k").unwrap())
}

#[tokio::test]
async fn a_fault_before_the_call_leaves_no_trace() {
    let store = FaultyStore::new(MemoryStore::new());
    store.fail(Operation::Append, 1, Fault::Before);
    let error = store.append(append()).await.unwrap_err();
    assert!(matches!(error, AppendError::Store(StoreError::Unavailable { .. })), "{error:?}");
    assert_eq!(read(store.inner(), &stream("s")).await, []);
    assert!(!store.append(append()).await.unwrap().repeated);
}

#[tokio::test]
async fn a_fault_after_the_call_hides_that_it_took_effect() {
    let store = FaultyStore::new(MemoryStore::new());
    store.fail(Operation::Append, 1, Fault::After);
    let request = append();
    let error = store.append(request.clone()).await.unwrap_err();
    assert!(matches!(error, AppendError::Store(StoreError::OutcomeUnknown { .. })), "{error:?}");
    assert_eq!(read(store.inner(), &stream("s")).await.len(), 1);
    assert!(store.append(request).await.unwrap().repeated, "asking again tells the outcome");
    assert_eq!(store.calls(Operation::Append), 2);
}

#[tokio::test]
async fn the_nth_call_from_now_fails() {
    let store = FaultyStore::new(MemoryStore::new());
    store.head().await.unwrap();
    store.fail(Operation::Head, 3, Fault::Before);
    let outcomes: Vec<bool> =
        futures_util::stream::iter(0..5).then(|_| store.head()).map(|h| h.is_ok()).collect().await;
    assert_eq!(outcomes, [true, true, false, true, true]);
    assert_eq!(store.calls(Operation::Head), 6);
    assert_eq!(store.clone().calls(Operation::Head), 6, "clones share the counters");
    store.reset_calls();
    assert_eq!(store.calls(Operation::Head), 0);
}

#[tokio::test]
async fn a_store_that_is_down_heals() {
    let store = FaultyStore::new(MemoryStore::new());
    let key = StateKey::new("k").unwrap();
    store.fail_always(Operation::Put, Fault::Before);
    for _ in 0..3 {
        let error = store.put(&key, Bytes::new(), ExpectedRevision::Any, None).await.unwrap_err();
        assert!(matches!(error, StateError::Store(StoreError::Unavailable { .. })), "{error:?}");
    }
    assert_eq!(store.get(&key).await.unwrap(), None);
    store.fail(Operation::Get, 1, Fault::After);
    let error = store.get(&key).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "nothing is unknown about a read: {error:?}");
    store.heal();
    store.put(&key, Bytes::new(), ExpectedRevision::Absent, None).await.unwrap();
}

#[tokio::test]
async fn reads_fail_at_once_or_half_way() {
    let store = FaultyStore::new(MemoryStore::new());
    store.append(Append::to(stream("s"), ExpectedVersion::Any, events(3))).await.unwrap();
    store.fail(Operation::ReadAll, 1, Fault::Before);
    store.fail(Operation::ReadStream, 1, Fault::After);
    let found: Vec<_> = store.read_all(ReadAll::new(Query::all())).collect().await;
    assert!(matches!(found[..], [Err(StoreError::Unavailable { .. })]), "{found:?}");
    let found: Vec<_> = store.read_stream(ReadStream::new(stream("s"))).collect().await;
    assert!(matches!(found[..], [Ok(_), Err(StoreError::Unavailable { .. })]), "{found:?}");
    let found: Vec<_> = store.read_all(ReadAll::new(Query::all())).try_collect().await.unwrap();
    assert_eq!(found.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_is_answered_late() {
    let store = FaultyStore::new(MemoryStore::new());
    let late = Duration::from_secs(60);
    store.append(Append::to(stream("s"), ExpectedVersion::Any, events(3))).await.unwrap();
    store.fail(Operation::Head, 1, Fault::Delay(late));
    store.fail(Operation::ReadAll, 1, Fault::Delay(late));
    let begin = tokio::time::Instant::now();
    store.head().await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 60);
    let found: Vec<_> = store.read_all(ReadAll::new(Query::all())).try_collect().await.unwrap();
    assert_eq!((begin.elapsed().as_secs(), found.len()), (120, 3));
}

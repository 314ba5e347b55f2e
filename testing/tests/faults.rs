//! Faults happen where they were put, and only there.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::{Arc, Mutex};
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

#[tokio::test(start_paused = true)]
async fn a_delayed_answer_comes_after_the_effect() {
    let store = FaultyStore::new(MemoryStore::new());
    store.fail(Operation::Append, 1, Fault::DelayAnswer(Duration::from_secs(60)));
    let (appending, looking) = (store.append(append()), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        store.head().await.unwrap().get()
    });
    let (appended, head) = tokio::join!(appending, looking);
    assert_eq!((appended.unwrap().position.get(), head), (1, 1));
}

#[tokio::test]
async fn a_function_chooses_the_fault_of_each_call() {
    let store = FaultyStore::new(MemoryStore::new());
    store.fail_each(|call| call.reads("s").then_some(Fault::Before));
    store.append(append()).await.unwrap();
    for (name, fails) in [("s", true), ("other", false), ("s", true)] {
        let first = store.read_stream(ReadStream::new(stream(name))).next().await.unwrap();
        assert_eq!(matches!(first, Err(StoreError::Unavailable { .. })), fails, "{name}");
    }
    store.heal();
    assert_eq!(read(&store, &stream("s")).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_clock_can_be_set_ahead() {
    let store = FaultyStore::new(MemoryStore::new());
    let before = store.now().await.unwrap();
    let hour = Duration::from_secs(3600);
    store.set_clock_ahead(hour);
    assert_eq!(store.now().await.unwrap(), before.checked_add(hour).unwrap());
    store.set_clock_ahead(Duration::ZERO);
    assert_eq!(store.now().await.unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn watchers_wake_in_the_order_in_which_they_began() {
    let store = FaultyStore::waking_in_order(MemoryStore::new());
    for number in 1..=5_u64 {
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut watchers = tokio::task::JoinSet::new();
        for watcher in 0..8 {
            let (mut head, woken) = (store.watch(), Arc::clone(&woken));
            watchers.spawn(async move {
                head.changed().await.unwrap();
                woken.lock().unwrap().push((watcher, head.borrow().get()));
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        store.append(Append::to(stream("s"), ExpectedVersion::Any, events(1))).await.unwrap();
        watchers.join_all().await;
        assert_eq!(*woken.lock().unwrap(), (0..8).map(|watcher| (watcher, number)).collect::<Vec<_>>());
    }
}

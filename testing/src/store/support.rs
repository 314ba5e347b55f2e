//! Helpers for writing the promises.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use recount_core::{
    Append, AppendCondition, AppendError, Appended, Conflict, EventData, EventType, ExpectedVersion, IdempotencyKey,
    Position, Query, QueryItem, ReadAll, ReadStream, RecordedEvent, StateKey, Store, StoreError, StreamId,
    StreamVersion, Tag, Violation,
};

/// A stream of the category `test`.
pub fn stream(id: &str) -> StreamId {
    StreamId::new("test", id).unwrap()
}

/// An event of the type `tested`, with a payload that no other event has.
pub fn event() -> EventData {
    let event = typed("tested");
    let payload = format!(r#"{{"id":"{}"}}"#, event.id);
    EventData { payload: payload.into(), ..event }
}

/// That many events.
pub fn events(count: usize) -> Vec<EventData> {
    (0..count).map(|_| event()).collect()
}

/// An event of this type.
pub fn typed(event_type: &str) -> EventData {
    EventData::new(EventType::new(event_type).unwrap(), Bytes::from_static(b"{}"))
}

/// An event of this type with these tags.
pub fn tagged(event_type: &str, tags: &[&str]) -> EventData {
    EventData { tags: tags.iter().map(|name| tag(name)).collect(), ..typed(event_type) }
}

/// A tag.
pub fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

/// A query item that asks for one of these types and all of these tags.
pub fn item(event_types: &[&str], tags: &[&str]) -> QueryItem {
    QueryItem {
        event_types: event_types.iter().map(|name| EventType::new(name).unwrap()).collect(),
        tags: tags.iter().map(|name| tag(name)).collect(),
        category: None,
    }
}

/// The condition that nothing is selected behind a position.
pub fn unless(fail_if: Query, after: Position) -> AppendCondition {
    AppendCondition { fail_if, after }
}

/// An idempotency key.
pub fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

/// The outcome of the append with this key.
pub async fn find(store: &dyn Store, key: &IdempotencyKey) -> Option<Appended> {
    store.find_append(key).await.unwrap().map(|found| found.appended)
}

/// A key of the state.
pub fn state_key(name: &str) -> StateKey {
    StateKey::new(name).unwrap()
}

/// The expectation of exactly this version.
pub fn exact(version: u64) -> ExpectedVersion {
    ExpectedVersion::Exact(StreamVersion::new(version))
}

/// Appends one event to a stream of any version.
pub async fn add(store: &dyn Store, to: &StreamId, event: EventData) -> Appended {
    append(store, to, ExpectedVersion::Any, vec![event]).await.unwrap()
}

/// Appends events to a stream.
pub async fn append(
    store: &dyn Store,
    to: &StreamId,
    expected: ExpectedVersion,
    events: Vec<EventData>,
) -> Result<Appended, AppendError> {
    store.append(Append::to(to.clone(), expected, events)).await
}

/// Fills a stream with that many events and returns them as recorded.
pub async fn fill(store: &dyn Store, to: &StreamId, count: usize) -> Vec<RecordedEvent> {
    append(store, to, ExpectedVersion::Any, events(count)).await.unwrap();
    read(store, to).await
}

/// Every event of a stream; none if there is no such stream.
pub async fn read(store: &dyn Store, from: &StreamId) -> Vec<RecordedEvent> {
    match collect_stream(store, ReadStream::new(from.clone())).await {
        Err(StoreError::StreamNotFound { .. }) => Vec::new(),
        events => events.unwrap(),
    }
}

/// The events that a read of a stream gives.
pub async fn collect_stream(store: &dyn Store, read: ReadStream) -> Result<Vec<RecordedEvent>, StoreError> {
    store.read_stream(read).try_collect().await
}

/// The events that a read of the whole store gives.
pub async fn collect_all(store: &dyn Store, read: ReadAll) -> Vec<RecordedEvent> {
    store.read_all(read).try_collect().await.unwrap()
}

/// The events that a query selects.
pub async fn select(store: &dyn Store, query: Query) -> Vec<RecordedEvent> {
    collect_all(store, ReadAll::new(query)).await
}

/// Every event of the store.
pub async fn everything(store: &dyn Store) -> Vec<RecordedEvent> {
    select(store, Query::all()).await
}

/// The violations of a conflict; panics if the append went through or failed otherwise.
#[track_caller]
pub fn violations(outcome: Result<Appended, AppendError>) -> Vec<Violation> {
    match outcome {
        Err(AppendError::Conflict(Conflict { violations })) => violations,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

/// Whether the append went through; panics if it failed otherwise than by a conflict.
#[track_caller]
pub fn won(outcome: &Result<Appended, AppendError>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(AppendError::Conflict(_)) => false,
        Err(other) => panic!("expected success or a conflict, got {other}"),
    }
}

/// The versions of recorded events.
pub fn versions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.version.get()).collect()
}

/// The positions of recorded events.
pub fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position.get()).collect()
}

/// The data of recorded events, as it was appended.
pub fn data(events: &[RecordedEvent]) -> Vec<EventData> {
    events.iter().map(|event| event.data.clone()).collect()
}

/// Random numbers; their seed is printed if the test fails. Set `RECOUNT_SEED` to repeat a run.
pub fn random() -> fastrand::Rng {
    let given = std::env::var("RECOUNT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("seed: RECOUNT_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// That much of a load, by the harness's [effort](super::Harness::effort). Set `RECOUNT_EFFORT` (in percent, so 1000
/// is ten times as much) for long runs.
pub fn scaled(h: &dyn super::Harness, usual: usize) -> usize {
    let asked_for = std::env::var("RECOUNT_EFFORT").ok().and_then(|percent| percent.parse().ok());
    (usual * h.effort() * asked_for.unwrap_or(100) / 10_000).max(1)
}

/// Runs that many tasks at once and returns their results, in the order of their numbers.
pub async fn race<T: Send + 'static, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|number| tokio::spawn(task(number))).collect();
    let mut results = Vec::with_capacity(count);
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// Two instances of one store.
pub async fn instances(h: &dyn super::Harness) -> [Arc<dyn Store>; 2] {
    [h.open().await, h.open().await]
}

/// How many of 1000 events a consumer gets that takes one, works for a second without yielding its thread, and then
/// takes the events that are ready.
/// No promise of the suite: a store need not read ahead.
pub async fn taken_without_waiting(store: &dyn Store) -> usize {
    fill(store, &stream("s"), 1000).await;
    let mut events = store.read_all(ReadAll::new(Query::all()));
    let consumer = tokio::spawn(async move {
        let mut taken = usize::from(events.next().await.is_some());
        std::thread::sleep(Duration::from_secs(1));
        // Where a page begins, the read of the next one is let go first, but nothing is waited for.
        while let Some(Some(_)) = events.next().now_or_never().or_else(|| events.next().now_or_never()) {
            taken += 1;
        }
        taken
    });
    consumer.await.unwrap()
}

//! Idempotency keys: asking again is harmless.

use bytes::Bytes;
use futures_util::StreamExt;
use recount_core::ExpectedVersion::{Any, Exact, NoStream, StreamExists};
use recount_core::{
    Append, AppendError, Appended, EventData, ExpectedVersion, Idempotency, Position, ReadStream, StoreError,
    StreamAppend, StreamVersion,
};

use super::Harness;
use super::support::*;

/// A request of always the same content, under other event ids each time.
fn request(name: &str) -> Append {
    Append::to(stream("s"), NoStream, vec![typed("a"), typed("b")]).idempotency_key(key(name))
}

fn repeated(first: &Appended) -> Appended {
    Appended { repeated: true, ..first.clone() }
}

/// The same key and content again: the first outcome, marked as repeated, and nothing is added, even if the
/// expectation of the request no longer holds.
pub async fn a_repeated_key_returns_the_first_outcome(h: &dyn Harness) {
    let store = h.open().await;
    let first = store.append(request("k")).await.unwrap();
    assert!(!first.repeated);
    fill(&*store, &stream("s"), 3).await;
    fill(&*store, &stream("other"), 3).await;
    for _ in 0..2 {
        assert_eq!(store.append(request("k")).await.unwrap(), repeated(&first));
    }
    assert_eq!(everything(&*store).await.len(), 8);
}

/// Not even closing the stream changes the outcome of a request that went through.
pub async fn a_repeated_key_is_answered_though_the_stream_was_closed(h: &dyn Harness) {
    let store = h.open().await;
    let first = store.append(request("k")).await.unwrap();
    store.archive(&stream("s")).await.unwrap();
    assert_eq!(store.append(request("k")).await.unwrap(), repeated(&first));
    store.erase(&stream("s")).await.unwrap();
    assert_eq!(store.append(request("k")).await.unwrap(), repeated(&first));
}

/// The same key for something else is an error that says so.
pub async fn a_key_is_not_used_for_other_content(h: &dyn Harness) {
    let store = h.open().await;
    store.append(request("k")).await.unwrap();
    let other_payload = EventData { payload: Bytes::from_static(b"{\"a\":1}"), ..typed("a") };
    for other in [
        Append::to(stream("other"), Any, vec![typed("a"), typed("b")]),
        Append::to(stream("s"), Any, vec![typed("a")]),
        Append::to(stream("s"), Any, vec![other_payload, typed("b")]),
    ] {
        let outcome = store.append(other.idempotency_key(key("k"))).await;
        assert!(matches!(&outcome, Err(AppendError::KeyReused { key: found }) if *found == key("k")), "{outcome:?}");
    }
    assert_eq!(everything(&*store).await.len(), 2);
}

/// The outcome can be looked up, as it was first returned.
pub async fn an_outcome_is_found_by_its_key(h: &dyn Harness) {
    let store = h.open().await;
    assert_eq!(find(&*store, &key("k")).await, None);
    let first = store.append(request("k")).await.unwrap();
    store.append(request("k")).await.unwrap();
    assert_eq!(find(&*store, &key("k")).await, Some(first));
    assert_eq!(find(&*store, &key("K")).await, None);
    assert_eq!(find(&*store, &key("k ")).await, None);
}

/// A request that failed leaves its key free.
pub async fn a_failed_append_does_not_use_up_its_key(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 1).await;
    violations(store.append(request("k")).await);
    assert_eq!(find(&*store, &key("k")).await, None);
    let fixed = Append::to(stream("s"), Any, vec![typed("c")]).idempotency_key(key("k"));
    assert!(!store.append(fixed).await.unwrap().repeated);
}

/// Of requests with one key that race, one is carried out; all get its outcome.
pub async fn racing_repetitions_happen_once(h: &dyn Harness) {
    let instances = [h.open().await, h.open().await];
    for round in 0..scaled(h, 20) {
        let to = stream(&format!("racing-{round}"));
        let outcomes = race(16, |task| {
            let (store, to) = (instances[task % 2].clone(), to.clone());
            async move {
                let events = vec![typed("a"), typed("b")];
                let request = Append::to(to.clone(), Any, events).idempotency_key(key(to.id()));
                store.append(request).await.unwrap()
            }
        })
        .await;
        let first: Vec<_> = outcomes.iter().filter(|outcome| !outcome.repeated).collect();
        assert_eq!(first.len(), 1, "round {round}");
        assert!(outcomes.iter().all(|outcome| repeated(outcome) == repeated(first[0])), "round {round}");
        assert_eq!(read(&*instances[0], &to).await.len(), 2, "round {round}");
    }
}

/// A key is still known after the store was closed and opened again.
pub async fn a_key_is_remembered_after_reopening(h: &dyn Harness) {
    if !h.is_durable() {
        return;
    }
    let store = h.open().await;
    let first = store.append(request("k")).await.unwrap();
    store.close().await;
    drop(store);
    let store = h.open().await;
    assert_eq!(store.append(request("k")).await.unwrap(), repeated(&first));
    assert_eq!(find(&*store, &key("k")).await, Some(first));
}

/// An append for a decided request. The content under the key is the request, independent of the append's events.
fn decided(streams: Vec<StreamAppend>) -> Append {
    let idempotency = Some(Idempotency::new(key("k"), b"what was asked for"));
    Append { streams, idempotency, ..Append::default() }
}

fn part(name: &str, expected: ExpectedVersion, events: Vec<EventData>) -> StreamAppend {
    StreamAppend { stream: stream(name), expected, events }
}

/// An outcome without events is recorded, found and repeated. The key has no other effect afterwards.
pub async fn an_outcome_without_events_is_kept_under_its_key(h: &dyn Harness) {
    let store = h.open().await;
    let before = add(&*store, &stream("s"), event()).await.position;
    let mut watching = store.watch();
    let told = *watching.borrow_and_update();
    let first = store.append(decided(vec![])).await.unwrap();
    assert_eq!(first, Appended { position: Position::START, streams: vec![], repeated: false });
    assert_eq!(find(&*store, &key("k")).await, Some(first.clone()));
    let later = decided(vec![part("s", Any, vec![typed("a")])]);
    assert_eq!(store.append(later).await.unwrap(), repeated(&first));
    assert_eq!(everything(&*store).await.len(), 1, "the request takes no effect later");
    let other = store.append(decided(vec![]).idempotency_key(key("k"))).await;
    assert!(matches!(other, Err(AppendError::KeyReused { .. })), "{other:?}");
    assert_eq!(store.head().await.unwrap(), before);
    assert!(*watching.borrow_and_update() >= told, "watchers are not told that the head went back");
    let next = add(&*store, &stream("s"), event()).await;
    assert!(next.position > before);
    if h.is_durable() {
        store.close().await;
        assert_eq!(h.open().await.append(decided(vec![])).await.unwrap(), repeated(&first));
    }
}

/// A stream of a keyed append may get no events: its expectation is checked, and it is not created.
pub async fn a_stream_without_events_is_only_checked(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 2).await;
    let violated = decided(vec![part("s", Exact(StreamVersion::new(1)), vec![])]);
    violations(store.append(violated).await);
    violations(store.append(decided(vec![part("none", StreamExists, vec![])])).await);
    assert_eq!(find(&*store, &key("k")).await, None);
    let parts = vec![
        part("s", Exact(StreamVersion::new(2)), vec![]),
        part("none", NoStream, vec![]),
        part("new", Any, vec![typed("a"), typed("b")]),
        part("s2", Any, vec![]),
    ];
    let first = store.append(decided(parts)).await.unwrap();
    let versions: Vec<_> = first.streams.iter().map(|part| (part.version.get(), part.count)).collect();
    assert_eq!(versions, [(2, 0), (0, 0), (2, 2), (0, 0)]);
    assert_eq!(first.position, store.head().await.unwrap());
    assert_eq!(find(&*store, &key("k")).await, Some(first));
    for name in ["none", "s2"] {
        let mut read = store.read_stream(ReadStream::new(stream(name)));
        let found = read.next().await;
        assert!(matches!(found, Some(Err(StoreError::StreamNotFound { .. }))), "{found:?}");
    }
    let unkeyed = [Append::default(), Append::to(stream("s"), Any, vec![])];
    for append in unkeyed {
        assert!(matches!(store.append(append).await, Err(AppendError::Invalid(_))));
    }
}

/// If one request appends no events and another one appends some under the same key, the first outcome counts for both.
pub async fn the_first_of_racing_outcomes_of_one_key_is_kept(h: &dyn Harness) {
    let instances = [h.open().await, h.open().await];
    for round in 0..scaled(h, 20) {
        let to = stream(&format!("racing-{round}"));
        let outcomes = race(8, |task| {
            let (store, stream) = (instances[task % 2].clone(), to.clone());
            async move {
                let events = if task % 4 < 2 { vec![typed("a")] } else { vec![] };
                let idempotency = Some(Idempotency::new(key(stream.id()), b"the same request"));
                let streams = vec![StreamAppend { stream, expected: Any, events }];
                store.append(Append { streams, idempotency, ..Append::default() }).await.unwrap()
            }
        })
        .await;
        let first: Vec<_> = outcomes.iter().filter(|outcome| !outcome.repeated).collect();
        assert_eq!(first.len(), 1, "round {round}");
        assert!(outcomes.iter().all(|outcome| repeated(outcome) == repeated(first[0])), "round {round}");
        let written = everything(&*instances[0]).await.iter().filter(|event| event.stream == to).count() as u64;
        assert_eq!(written, first[0].streams[0].count, "round {round}");
    }
}

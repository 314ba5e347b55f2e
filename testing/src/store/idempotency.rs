//! Idempotency keys: asking again is harmless.

use bytes::Bytes;
use recount_core::ExpectedVersion::{Any, NoStream};
use recount_core::{Append, AppendError, Appended, EventData};

use super::Harness;
use super::support::*;

/// A request of always the same content, under other event ids each time.
fn request(name: &str) -> Append {
    Append::to(stream("s"), NoStream, vec![typed("a"), typed("b")]).idempotency_key(key(name))
}

fn repeated(first: &Appended) -> Appended {
    Appended { repeated: true, ..first.clone() }
}

/// The same key and content again: the first outcome, marked as repeated, and nothing is added, even if what the
/// request expects no longer holds.
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

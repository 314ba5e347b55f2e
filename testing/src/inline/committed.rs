//! Events and the handlers' writes commit together.

use std::sync::Arc;

use recount_core::{Append, AppendError, Event, ExpectedVersion, FilterChange, IdempotencyKey, StreamAppend, StreamId};

use super::Harness;
use super::taking::*;

/// The read model is never behind: it has an event as soon as the append returns, and its checkpoint is there.
pub async fn an_event_is_in_the_read_model_when_its_append_returns<H: Harness>(h: &Arc<H>) {
    let store = open(h).await;
    for count in [1, 3, 40] {
        append(&store, "a", count).await;
        same(h, &store).await;
    }
    // An append to several streams.
    let events = || vec![Noted::First {}.encode().unwrap(), Noted::Second {}.encode().unwrap()];
    let [one, other] = ["b", "c"].map(|id| StreamId::new("noted", id).unwrap());
    let mut both = Append::to(one, ExpectedVersion::NoStream, events());
    both.streams.push(StreamAppend { stream: other, expected: ExpectedVersion::NoStream, events: events() });
    store.append(both).await.unwrap();
    same(h, &store).await;
    store.close().await;
    // Nothing is taken twice.
    let store = open(h).await;
    append(&store, "a", 1).await;
    same(h, &store).await;
}

/// A conflict and a repeated append write nothing, and their events are not handled.
pub async fn an_append_that_writes_nothing_changes_nothing<H: Harness>(h: &Arc<H>) {
    let store = open(h).await;
    let stream = || StreamId::new("noted", "a").unwrap();
    let named = || {
        let events = vec![Noted::First {}.encode().unwrap()];
        Append::to(stream(), ExpectedVersion::Any, events).idempotency_key(IdempotencyKey::new("once").unwrap())
    };
    let first = named();
    store.append(first.clone()).await.unwrap();
    assert!(store.append(first).await.unwrap().repeated);
    let conflicting = Append::to(stream(), ExpectedVersion::NoStream, vec![Noted::First {}.encode().unwrap()]);
    let outcome = store.append(conflicting).await;
    assert!(matches!(outcome, Err(AppendError::Conflict(_))), "{outcome:?}");
    assert_eq!(h.written().await.len(), 1);
    same(h, &store).await;
    append(&store, "a", 1).await;
    same(h, &store).await;
}

/// Appends that share transactions are taken in the order of their positions.
pub async fn appends_at_once_are_taken_in_order<H: Harness>(h: &Arc<H>) {
    let store = open(h).await;
    let appends = (0..64).map(|index| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { append(&store, &format!("s{index}"), 1 + index % 3).await })
    });
    for appended in appends.collect::<Vec<_>>() {
        appended.await.unwrap();
    }
    same(h, &store).await;
}

/// Events of other types pass by.
pub async fn only_selected_events_are_taken<H: Harness>(h: &Arc<H>) {
    let store = h.open_inline(vec![Taking::<H, FirstOnly>::new(h)], FilterChange::Refuse).await.unwrap();
    append_each(&store, "a", [Noted::First {}, Noted::Second {}, Noted::First {}]).await;
    append_each(&store, "a", [Noted::Second {}]).await;
    assert_eq!(h.written().await, [1, 3]);
}

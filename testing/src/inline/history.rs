//! Events appended without the projection are taken in before new ones.

use std::sync::Arc;

use recount_core::{Append, Event, ExpectedVersion, FilterChange, Store, StreamId};

use super::Harness;
use super::taking::*;

/// Opening the store takes in the existing events.
pub async fn events_from_before_are_taken_at_open<H: Harness>(h: &Arc<H>) {
    append(&h.store().await, "old", 2500).await;
    let store = open(h).await;
    assert_eq!(h.written().await.len(), 2500);
    append(&store, "new", 1).await;
    same(h, &store).await;
    // An event that a handler refuses stays to be taken in.
    append(&h.store().await, "refused", 1).await;
    let refused = h.open_inline(vec![Taking::<H>::new(h)], FilterChange::Refuse).await.map(drop).unwrap_err();
    assert_eq!(reason(&refused), "this one is refused");
}

/// The next append with the projection takes in, in order, all events that an instance without it has appended.
pub async fn events_of_another_program_are_taken_with_the_next_append<H: Harness>(h: &Arc<H>) {
    let (store, without) = (open(h).await, h.store().await);
    for count in [1, 3, 2500] {
        append(&without, "old", count).await;
        let behind = positions(&store).await.len() - h.written().await.len();
        assert_eq!(behind, count);
        append(&store, "new", 2).await;
        same(h, &store).await;
    }
}

/// An event that can't be taken in refuses the appends behind it: there is never a gap.
pub async fn a_refused_event_of_another_program_refuses_each_append<H: Harness>(h: &Arc<H>) {
    let store = open(h).await;
    append(&h.store().await, "refused", 1).await;
    for _ in 0..2 {
        let stream = StreamId::new("noted", "a").unwrap();
        let event = Noted::First {}.encode().unwrap();
        let outcome = store.append(Append::to(stream, ExpectedVersion::Any, vec![event])).await;
        assert_eq!(refusal(outcome), "this one is refused");
    }
    assert!(h.written().await.is_empty());
    assert_eq!(positions(&store).await.len(), 1);
}

async fn write_at_once(stores: &[Arc<dyn Store>]) {
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&stores[writer % stores.len()]);
        tokio::spawn(async move {
            for _ in 0..25 {
                append(&store, &format!("w{writer}"), 2).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

/// Instances with the same projection share its checkpoint.
pub async fn two_instances_take_every_event_once_in_order<H: Harness>(h: &Arc<H>) {
    let stores = [open(h).await, open(h).await];
    write_at_once(&stores).await;
    assert_eq!(h.written().await.len(), 400);
    same(h, &stores[0]).await;
}

/// Appends of an instance without the projection, made at the same time, are taken in their place.
pub async fn an_instance_without_the_projection_leaves_no_gap<H: Harness>(h: &Arc<H>) {
    let stores = [open(h).await, h.store().await];
    write_at_once(&stores).await;
    append(&stores[0], "last", 1).await;
    assert_eq!(h.written().await.len(), 401);
    same(h, &stores[0]).await;
}

//! The checkpoint remembers the filter of the projection.

use std::sync::Arc;

use recount_core::{Append, Event, ExpectedVersion, FilterChange, ReadModel, Store, StreamId};

use super::Harness;
use super::taking::*;

/// Appends one event of each kind twice: the odd positions have the first kind, as long as there are no gaps.
async fn mixed(store: &Arc<dyn Store>) {
    append_each(store, "a", [Noted::First {}, Noted::Second {}, Noted::First {}, Noted::Second {}]).await;
}

/// A store with a read model that was built by a program that knows the first kind only.
async fn narrow<H: Harness>(h: &Arc<H>) -> Arc<dyn Store> {
    let store = h.open_inline(vec![Taking::<H, FirstOnly>::new(h)], FilterChange::Refuse).await.unwrap();
    mixed(&store).await;
    assert_eq!(h.written().await, [1, 3]);
    store
}

/// Unless there is a choice the store isn't opened, and the error names the added and removed types and the cure.
pub async fn another_filter_is_refused_and_named<H: Harness>(h: &Arc<H>) {
    let store = narrow(h).await;
    let refused = h.open_inline(vec![Taking::<H>::new(h)], FilterChange::Refuse).await.map(drop).unwrap_err();
    for part in ["inline projection taking is at position 4", "added noted.second;", "StartOver", "GoOn"] {
        assert!(reason(&refused).contains(part), "{refused:?}");
    }
    // The program before it goes on.
    mixed(&store).await;
    assert_eq!(h.written().await, [1, 3, 5, 7]);
    store.close().await;
    h.open_inline(vec![Taking::<H>::new(h)], FilterChange::GoOn).await.unwrap().close().await;
    // A removed type is a change as well.
    let narrow = vec![Taking::<H, FirstOnly>::new(h)];
    let refused = h.open_inline(narrow, FilterChange::Refuse).await.map(drop).unwrap_err();
    assert!(reason(&refused).contains("removed noted.second"), "{refused:?}");
}

/// By choice the projection is built anew when the store is opened, and only then.
pub async fn another_filter_starts_over_by_choice<H: Harness>(h: &Arc<H>) {
    narrow(h).await.close().await;
    for _ in 0..2 {
        let store = h.open_inline(vec![Taking::<H>::new(h)], FilterChange::StartOver).await.unwrap();
        same(h, &store).await;
        mixed(&store).await;
        same(h, &store).await;
        store.close().await;
    }
    assert_eq!(h.written().await.len(), 12);
}

/// By choice the projection goes on from its checkpoint.
pub async fn another_filter_goes_on_by_choice<H: Harness>(h: &Arc<H>) {
    narrow(h).await.close().await;
    let store = h.open_inline(vec![Taking::<H>::new(h)], FilterChange::GoOn).await.unwrap();
    mixed(&store).await;
    assert_eq!(h.written().await, [1, 3, 5, 6, 7, 8]);
    store.close().await;
    let store = open(h).await;
    mixed(&store).await;
    assert_eq!(h.written().await, [1, 3, 5, 6, 7, 8, 9, 10, 11, 12]);
}

/// In a rolling deploy, appends of an older program that still runs are refused: it would move the checkpoint past events
/// that it doesn't know.
pub async fn an_older_program_does_not_move_a_newer_checkpoint<H: Harness>(h: &Arc<H>) {
    let old = narrow(h).await;
    let new = h.open_inline(vec![Taking::<H>::new(h)], FilterChange::GoOn).await.unwrap();
    let stream = StreamId::new("noted", "a").unwrap();
    let event = Noted::Second {}.encode().unwrap();
    let reason = refusal(old.append(Append::to(stream, ExpectedVersion::Any, vec![event])).await);
    assert!(reason.contains("removed noted.second"), "{reason}");
    mixed(&new).await;
    assert_eq!(h.written().await.len(), 6);
    assert_eq!(positions(&new).await.len(), 8);
}

/// An order to rebuild is not followed: appends go on, and the store opens.
pub async fn an_order_to_rebuild_changes_nothing<H: Harness>(h: &Arc<H>) {
    let store = open(h).await;
    mixed(&store).await;
    h.open().await.order_rebuild("taking").await.unwrap();
    mixed(&store).await;
    same(h, &store).await;
    h.open().await.order_rebuild("taking").await.unwrap();
    store.close().await;
    let store = open(h).await;
    mixed(&store).await;
    same(h, &store).await;
}

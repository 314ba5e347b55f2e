//! A handler that fails refuses its append, and no other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use recount_core::{Append, AppendError, Appended, Event, ExpectedVersion, FilterChange, Store, StreamId};

use super::Harness;
use super::taking::*;

async fn try_append(store: &Arc<dyn Store>, stream: &str) -> Result<Appended, AppendError> {
    let stream = StreamId::new("noted", stream).unwrap();
    store.append(Append::to(stream, ExpectedVersion::Any, vec![Noted::First {}.encode().unwrap()])).await
}

/// Appends that share a transaction succeed although another one of it is refused, of which nothing is written.
pub async fn a_failing_handler_refuses_only_its_own_append<H: Harness>(h: &Arc<H>) {
    let store = open(h).await;
    assert_eq!(refusal(try_append(&store, "refused").await), "this one is refused");
    assert!(positions(&store).await.is_empty());
    let appends = (0..64).map(|index| {
        let (store, id) =
            (Arc::clone(&store), if index % 16 == 3 { "refused".to_owned() } else { format!("s{index}") });
        tokio::spawn(async move { (index, try_append(&store, &id).await) })
    });
    for appended in appends.collect::<Vec<_>>() {
        let (index, outcome) = appended.await.unwrap();
        if index % 16 == 3 {
            assert_eq!(refusal(outcome), "this one is refused");
        } else {
            outcome.unwrap();
        }
    }
    assert_eq!(positions(&store).await.len(), 60);
    same(h, &store).await;
}

/// A panic is a failure with its message, and the store goes on.
pub async fn a_panic_refuses_the_append<H: Harness>(h: &Arc<H>) {
    let store = open(h).await;
    let reason = refusal(try_append(&store, "panics").await);
    assert!(reason.contains("panicked") && reason.contains("boom in the handler"), "{reason}");
    try_append(&store, "a").await.unwrap();
    assert_eq!(positions(&store).await.len(), 1);
    same(h, &store).await;
}

/// A handler that doesn't return fails its append in time. Appends that wait behind it are made.
pub async fn a_handler_that_hangs_is_ended_and_the_store_goes_on<H: Harness>(h: &Arc<H>) {
    let store = open(h).await;
    let started = Instant::now();
    let (hanging, behind) = tokio::join!(try_append(&store, "hangs"), try_append(&store, "behind"));
    let reason = refusal(hanging);
    assert!(reason.contains("has not returned within 1s"), "{reason}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    behind.unwrap();
    try_append(&store, "a").await.unwrap();
    same(h, &store).await;
}

/// An append is done or not if its caller is dropped, and the next append finds no transaction left open.
pub async fn an_append_whose_caller_goes_away_is_not_half_done<H: Harness>(h: &Arc<H>) {
    let store = open(h).await;
    for step in 0..30_u64 {
        let dropped = try_append(&store, "dropped");
        drop(tokio::time::timeout(Duration::from_micros(step * 150), dropped).await);
        try_append(&store, "a").await.unwrap();
    }
    same(h, &store).await;
}

/// The store isn't opened if the set-up fails, and the changes of the set-up are undone.
pub async fn a_failing_set_up_refuses_to_open<H: Harness>(h: &Arc<H>) {
    let failing = vec![Taking::<H>::new(h).failing_to_set_up()];
    let refused = h.open_inline(failing, FilterChange::Refuse).await.map(drop).unwrap_err();
    assert_eq!(reason(&refused), "no set-up today");
    let store = open(h).await;
    append(&store, "a", 1).await;
    same(h, &store).await;
}

/// They would share a checkpoint.
pub async fn two_projections_of_one_name_are_refused<H: Harness>(h: &Arc<H>) {
    let twice = vec![Taking::<H>::new(h), Taking::<H>::new(h)];
    let refused = h.open_inline(twice, FilterChange::Refuse).await.map(drop).unwrap_err();
    assert!(reason(&refused).contains("another name"), "{refused:?}");
}

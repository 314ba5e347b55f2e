//! Handlers that end the transaction of their append themselves, by a `COMMIT` or `ROLLBACK` of their own.

use std::collections::BTreeSet;
use std::sync::Arc;

use recount_core::{
    Append, AppendError, Appended, Event, ExpectedVersion, FilterChange, IdempotencyKey, Store, StoreError, StreamId,
};

use super::Harness;
use super::taking::*;

/// An append of one event under a key, by the stream's id.
fn named(id: &str) -> Append {
    let stream = StreamId::new("noted", id).unwrap();
    let append = Append::to(stream, ExpectedVersion::Any, vec![Noted::First {}.encode().unwrap()]);
    append.idempotency_key(IdempotencyKey::new(id).unwrap())
}

/// The error says that the append is recorded, and why.
fn recorded(outcome: Result<Appended, AppendError>) {
    match outcome {
        Err(AppendError::Store(StoreError::OutcomeUnknown { source, .. })) => {
            let reason = source.to_string();
            for part in ["inline projection taking", "ended the transaction", "is recorded", "COMMIT"] {
                assert!(reason.contains(part), "{reason}");
            }
        }
        other => panic!("{other:?}"),
    }
}

/// The error says that the append is undone, and why.
fn undone(outcome: Result<Appended, AppendError>) {
    let reason = refusal(outcome);
    assert!(reason.contains("ended the transaction") || reason == "this one is refused", "{reason}");
}

/// The read model has each event, some of them twice: a handler that ends its transaction gives up being exact.
async fn all_taken<H: Harness>(h: &Arc<H>, store: &Arc<dyn Store>) {
    let written: BTreeSet<u64> = h.written().await.into_iter().collect();
    let positions: BTreeSet<u64> = positions(store).await.into_iter().collect();
    assert!(written.is_superset(&positions), "{positions:?} are recorded, {written:?} taken");
}

/// Takes everything in by a later program, with handlers that end no transaction.
async fn settle<H: Harness>(h: &Arc<H>) {
    let mended = vec![Taking::<H>::new(h).mended()];
    h.open_inline(mended, FilterChange::Refuse).await.unwrap().close().await;
}

/// The opening is refused, and the error says why.
async fn refused_to_open<H: Harness>(h: &Arc<H>, projection: Taking<H>) {
    let refused = h.open_inline(vec![projection], FilterChange::Refuse).await.map(drop).unwrap_err();
    let StoreError::Backend { source, .. } = &refused else { panic!("{refused:?}") };
    let reason = source.to_string();
    assert!(reason.contains("inline projection taking") && reason.contains("ended the transaction"), "{reason}");
}

/// The caller learns that the append is recorded, finds it by its key, and the store goes on.
pub async fn an_append_that_a_handler_has_committed_is_not_reported_as_undone<H: Harness>(h: &Arc<H>) {
    let ids = ["commits", "commits-and-fails", "commits-and-begins"];
    for (index, id) in ids.into_iter().enumerate() {
        let store = open(h).await;
        let append_once = named(id);
        recorded(store.append(append_once.clone()).await);
        assert_eq!(positions(&store).await.len(), 2 * index + 1, "{id}");
        // This program's projection would commit again.
        store.close().await;
        settle(h).await;
        let store = open(h).await;
        assert!(store.append(append_once).await.unwrap().repeated, "{id}");
        append(&store, "a", 1).await;
        all_taken(h, &store).await;
    }
}

/// Nothing of the append is recorded, and the checkpoint doesn't pass events of other programs.
pub async fn an_append_that_a_handler_has_undone_leaves_no_gap<H: Harness>(h: &Arc<H>) {
    let (store, without) = (open(h).await, h.store().await);
    for (index, id) in ["rolls-back", "rolls-back-and-fails", "rolls-back-and-begins"].into_iter().enumerate() {
        undone(store.append(named(id)).await);
        assert_eq!(positions(&store).await.len(), 3 * index, "{id}");
        append(&without, "b", 2).await;
        append(&store, "a", 1).await;
        all_taken(h, &store).await;
    }
}

/// Of appends that share a transaction each is recorded once, and is told so, or is undone.
pub async fn appends_that_share_a_transaction_are_told_what_became_of_them<H: Harness>(h: &Arc<H>) {
    for end in ["rolls-back", "rolls-back-and-begins"] {
        assert_eq!(made_beside(h, end).await, 47, "{end}");
    }
    // On a busy machine some come in a later transaction, and are undone there.
    let mut made = 0;
    for _ in 0..10 {
        made = made_beside(h, "commits").await;
        if made == 48 {
            break;
        }
    }
    assert_eq!(made, 48, "they never share one transaction");
}

/// Makes 48 appends at once, one of which ends the transaction so. Returns how many are recorded.
async fn made_beside<H: Harness>(h: &Arc<H>, end: &'static str) -> usize {
    let store = open(h).await;
    let before = positions(&store).await.len();
    let appends = (0..48).map(|index| {
        let store = Arc::clone(&store);
        let id = if index == 20 { end.to_owned() } else { format!("{end}{index}") };
        tokio::spawn(async move { (index, store.append(Append { idempotency: None, ..named(&id) }).await) })
    });
    let mut made = 0;
    for appended in appends.collect::<Vec<_>>() {
        match appended.await.unwrap() {
            (index, Ok(_)) if index != 20 => made += 1,
            (20, outcome) if end.starts_with("rolls") => undone(outcome),
            // Its transaction begins with the events that the handler has committed, and the handler commits again.
            (index, outcome @ Err(AppendError::Store(StoreError::Projection { .. })))
                if index != 20 && end == "commits" =>
            {
                undone(outcome);
            }
            (_, outcome) => {
                recorded(outcome);
                made += 1;
            }
        }
    }
    assert_eq!(positions(&store).await.len() - before, made, "{end}");
    store.close().await;
    settle(h).await;
    made
}

/// The set-up has to leave its transaction open, so that the checkpoint commits with it.
pub async fn a_set_up_that_ends_its_transaction_refuses_to_open<H: Harness>(h: &Arc<H>) {
    for sql in ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN"] {
        refused_to_open(h, Taking::new(h).setting_up(sql)).await;
    }
    let store = open(h).await;
    append(&store, "a", 1).await;
    same(h, &store).await;
}

/// The same where events of another program are taken in, at the opening and before an append: no gap.
pub async fn catching_up_ends_at_a_handler_that_ends_its_transaction<H: Harness>(h: &Arc<H>) {
    let (store, without) = (open(h).await, h.store().await);
    for id in ["rolls-back", "rolls-back-and-begins", "commits", "commits-and-begins"] {
        append(&without, id, 1).await;
        let before = positions(&store).await.len();
        refused_to_open(h, Taking::new(h)).await;
        // Some stores take the events of others in before the append's own, others together with them.
        let recorded = match store.append(named(id)).await {
            Err(AppendError::Store(StoreError::OutcomeUnknown { .. })) if id.starts_with("commits") => 1,
            Err(AppendError::Store(StoreError::Projection { .. })) => 0,
            other => panic!("{id}: {other:?}"),
        };
        assert_eq!(positions(&store).await.len() - before, recorded, "{id}");
        settle(h).await;
        append(&store, "a", 1).await;
        all_taken(h, &store).await;
    }
}

//! The outcome under an idempotency key stays, whatever becomes of the streams that hold it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::time::Duration;

use common::*;
use recount_core::{
    Apply, Command, Context, Decision, DispatchError, EventStore, IdempotencyKey, KeyOutcome, LoadError, Metadata,
    NameError, Query, Recount, StoreError, StreamId,
};
use recount_store_memory::MemoryStore;
use serde::Serialize;

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

/// A handle on the store whose keys are forgotten at once when they are swept.
fn forgetful(store: &MemoryStore) -> Recount {
    Recount::builder(store.clone()).register::<Account>().key_retention(Duration::ZERO).build()
}

/// Deposits a cent, as a decision.
#[derive(Serialize)]
struct Give;

impl Decision for Give {
    type Event = AccountEvent;
    type State = Account;
    type Error = TooLittle;

    fn boundary(&self) -> Result<Query, NameError> {
        Ok(Query::category("account"))
    }

    fn apply(&self, state: &mut Account, event: &AccountEvent) {
        Apply::apply(state, event);
    }

    fn decide(&self, _: &Account, _: &Context<'_>) -> Result<Vec<AccountEvent>, TooLittle> {
        Ok(vec![AccountEvent::Deposited { cents: 1 }])
    }

    fn stream(&self, _: &recount_core::EventData) -> Result<StreamId, NameError> {
        StreamId::new("account", "ada")
    }
}

fn look(name: &str) -> Look {
    Look { account: account(name) }
}

/// Events, nothing and a refusal answer the same on each handle, also for the second time.
#[tokio::test]
async fn an_erased_aggregate_does_not_take_the_outcomes_along() {
    let (recount, store) = bank();
    let effect = recount.dispatch(deposit("ada", 5)).idempotency_key(key("effect")).await.unwrap();
    let decided = recount.decide(Give).idempotency_key(key("decided")).await.unwrap();
    let _ = recount.dispatch(look("ada")).idempotency_key(key("nothing")).await.unwrap();
    let refused = recount.dispatch(withdraw("ada", 9)).idempotency_key(key("refused")).keep_refusal().await;
    assert!(matches!(refused, Err(DispatchError::Rejected(_))), "{refused:?}");
    recount.erase::<Account>(&account("ada")).await.unwrap();
    for recount in [recount, Recount::new(store.clone()), Recount::new(store)] {
        for _ in 0..2 {
            let again = recount.dispatch(deposit("ada", 5)).idempotency_key(key("effect")).await.unwrap();
            assert_eq!((again.version, again.position), (effect.version, effect.position));
            assert!(again.repeated && again.events.is_empty(), "its events are erased: {again:?}");
            let again = recount.decide(Give).idempotency_key(key("decided")).await.unwrap();
            assert_eq!((again.version, again.events.len(), again.repeated), (decided.version, 0, true));
            let again = recount.dispatch(look("ada")).idempotency_key(key("nothing")).await.unwrap();
            assert_eq!((again.events.len(), again.repeated), (0, true));
            let again = recount.dispatch(withdraw("ada", 9)).idempotency_key(key("refused")).await;
            assert!(matches!(again, Err(DispatchError::RefusedEarlier { .. })), "{again:?}");
            let loaded = recount.dispatch(deposit("ada", 5)).idempotency_key(key("effect")).and_load().await;
            let Err(DispatchError::Load(LoadError::Store(StoreError::StreamErased { .. }))) = loaded else {
                panic!("there is no state: {loaded:?}")
            };
            let new = recount.dispatch(deposit("ada", 5)).idempotency_key(key("new")).await;
            let Err(DispatchError::Load(LoadError::Store(StoreError::StreamErased { .. }))) = new else {
                panic!("another request has no effect: {new:?}")
            };
        }
        let outcome = async |name: &str| recount.outcome(&key(name)).await.unwrap();
        assert!(matches!(outcome("effect").await, Some(KeyOutcome::Effect)));
        assert!(matches!(outcome("decided").await, Some(KeyOutcome::Effect)));
        assert!(matches!(outcome("nothing").await, Some(KeyOutcome::Nothing)));
        assert!(matches!(outcome("refused").await, Some(KeyOutcome::Refused(_))));
        assert!(outcome("new").await.is_none());
    }
}

/// A kept refusal may hold personal data, so its stream can be erased. It is a refusal all the same.
#[tokio::test]
async fn a_refusal_that_was_erased_or_archived_is_a_refusal() {
    for erased in [false, true] {
        let (recount, store) = bank();
        let ask = async |recount: &Recount| {
            recount.dispatch(withdraw("ada", 9)).idempotency_key(key("k")).keep_refusal().await.unwrap_err()
        };
        assert!(matches!(ask(&recount).await, DispatchError::Rejected(_)));
        let kept = StreamId::new("recount.refused", "k").unwrap();
        let kind = if erased {
            store.erase(&kept).await.unwrap();
            "Erased"
        } else {
            store.archive(&kept).await.unwrap();
            "TooLittle"
        };
        let DispatchError::RefusedEarlier { refusal, .. } = ask(&Recount::new(store.clone())).await else {
            panic!("it was kept")
        };
        assert_eq!(refusal.kind, kind);
        let outcome = recount.outcome(&key("k")).await.unwrap();
        assert!(matches!(&outcome, Some(KeyOutcome::Refused(refusal)) if refusal.kind == kind), "{outcome:?}");
    }
}

/// A key that was forgotten can be refused and withdrawn again, though the streams of its first outcomes are closed.
#[tokio::test]
async fn closed_streams_of_forgotten_outcomes_hold_up_no_new_ones() {
    let (_, store) = bank();
    let recount = forgetful(&store);
    for round in 0..3 {
        let asked = recount.dispatch(withdraw("ada", 9)).idempotency_key(key("r")).keep_refusal().await;
        assert!(matches!(asked, Err(DispatchError::Rejected(_))), "round {round}: {asked:?}");
        let again = recount.dispatch(withdraw("ada", 9)).idempotency_key(key("r")).await;
        assert!(matches!(again, Err(DispatchError::RefusedEarlier { .. })), "round {round}: {again:?}");
        for _ in 0..2 {
            let withdrawn = recount.withdraw(&key("w"), Metadata::default()).await.unwrap();
            assert!(matches!(withdrawn, KeyOutcome::Withdrawn), "round {round}: {withdrawn:?}");
        }
        assert_eq!(recount.sweep_keys().await.unwrap(), 2);
        for category in ["recount.refused", "recount.withdrawn"] {
            let id = if category.ends_with("refused") { "r" } else { "w" };
            let stream = StreamId::new(category, id).unwrap();
            if round == 0 { store.archive(&stream).await.unwrap() } else { store.erase(&stream).await.unwrap() }
        }
    }
}

/// The caller learns that its request was withdrawn, not that it reused a key.
#[tokio::test]
async fn a_withdrawn_request_says_so() {
    let (_, store) = bank();
    let recount = forgetful(&store);
    let is_withdrawn = |said: String| assert!(said.contains("key w was withdrawn and never takes effect"), "{said}");
    recount.withdraw(&key("w"), Metadata::default()).await.unwrap();
    for _ in 0..2 {
        // It creates, is met, is in the cache, is refused, and is a decision.
        let open = Open { account: account("new"), owner: "Ada".into() };
        is_withdrawn(recount.dispatch(open).idempotency_key(key("w")).await.unwrap_err().to_string());
        is_withdrawn(recount.dispatch(deposit("ada", 5)).idempotency_key(key("w")).await.unwrap_err().to_string());
        is_withdrawn(recount.dispatch(withdraw("ada", 9)).idempotency_key(key("w")).await.unwrap_err().to_string());
        let kept = recount.dispatch(withdraw("ada", 9)).idempotency_key(key("w")).keep_refusal().await;
        is_withdrawn(kept.unwrap_err().to_string());
        is_withdrawn(recount.decide(Give).idempotency_key(key("w")).await.unwrap_err().to_string());
        let json = br#"{"account":"ada","cents":5}"#;
        let by_name = recount.dispatch_json("account", Deposit::NAME, json).idempotency_key(key("w")).await;
        assert!(matches!(by_name, Err(DispatchError::Withdrawn { .. })), "{by_name:?}");
    }
    let both = [(); 2].map(|()| recount.dispatch(deposit("ada", 5)).idempotency_key(key("w")).into_future());
    for at_once in futures_util::future::join_all(both).await {
        is_withdrawn(at_once.unwrap_err().to_string());
    }
    assert_eq!(store.head().await.unwrap().get(), 1, "the withdrawal alone");
    let _ = recount.dispatch(deposit("ada", 5)).idempotency_key(key("other")).await.unwrap();
}

//! The outcome under an idempotency key stays when the streams that hold it are erased or closed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::time::Duration;

use common::*;
use recount_core::{
    Append, Apply, Command, Context, Decision, DispatchError, Event, EventData, EventStore, EventType, ExpectedVersion,
    IdempotencyKey, KeyOutcome, LoadError, Metadata, NameError, Query, Recount, StoreError, StreamId, StreamVersion,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};
use serde::Serialize;

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

/// A handle on the store whose keys are forgotten at once when they are swept.
fn forgetful(store: &MemoryStore) -> Recount {
    Recount::builder(store.clone()).register::<Account>().key_retention(Duration::ZERO).build()
}

/// Deposits a cent for each of these accounts, as a decision.
#[derive(Serialize)]
struct Give(&'static [&'static str]);

const GIVE: Give = Give(&["ada"]);

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

    fn decide(&self, state: &Account, _: &Context<'_>) -> Result<Vec<AccountEvent>, TooLittle> {
        Ok((1..).zip(self.0).map(|(n, _)| AccountEvent::Deposited { cents: state.balance * 10 + n }).collect())
    }

    /// The account is the one at the place that the last digit names.
    fn stream(&self, event: &EventData) -> Result<StreamId, NameError> {
        let text = String::from_utf8_lossy(&event.payload).into_owned();
        let digit = text.chars().filter_map(|c| c.to_digit(10)).next_back().unwrap();
        StreamId::new("account", self.0.get(digit as usize - 1).copied().unwrap_or_default())
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
    let decided = recount.decide(GIVE).idempotency_key(key("decided")).await.unwrap();
    let _ = recount.dispatch(look("ada")).idempotency_key(key("nothing")).await.unwrap();
    let refused = recount.dispatch(withdraw("ada", 900)).idempotency_key(key("refused")).keep_refusal().await;
    assert!(matches!(refused, Err(DispatchError::Rejected(_))), "{refused:?}");
    recount.erase::<Account>(&account("ada")).await.unwrap();
    for recount in [recount, Recount::new(store.clone()), Recount::new(store)] {
        for _ in 0..2 {
            let again = recount.dispatch(deposit("ada", 5)).idempotency_key(key("effect")).await.unwrap();
            assert_eq!((again.version, again.position), (effect.version, effect.position));
            assert!(again.repeated && again.events.is_empty(), "its events are erased: {again:?}");
            let again = recount.decide(GIVE).idempotency_key(key("decided")).await.unwrap();
            assert_eq!((again.version, again.events.len(), again.repeated), (decided.version, 0, true));
            let again = recount.dispatch(look("ada")).idempotency_key(key("nothing")).await.unwrap();
            assert_eq!((again.events.len(), again.repeated), (0, true));
            let again = recount.dispatch(withdraw("ada", 900)).idempotency_key(key("refused")).await;
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
        is_withdrawn(recount.decide(GIVE).idempotency_key(key("w")).await.unwrap_err().to_string());
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

/// The events of a stream are recorded together, so the receipt has them in that order the first time, too.
#[tokio::test]
async fn a_repeated_decision_has_the_receipt_of_the_first() {
    let (recount, store) = bank();
    let _ = recount.dispatch(deposit("bob", 7)).await.unwrap();
    let give = || Give(&["ada", "bob", "ada", "eve", "bob"]);
    let first = recount.decide(give()).idempotency_key(key("k")).await.unwrap();
    let again = Recount::new(store.clone()).decide(give()).idempotency_key(key("k")).await.unwrap();
    assert!(again.repeated && !first.repeated);
    assert_eq!((&again.events, again.version, again.position), (&first.events, first.version, first.position));
    let recorded = saving::everything(&store).await.split_off(1);
    let cents = |event: &AccountEvent| if let AccountEvent::Deposited { cents } = event { *cents } else { 0 };
    let stored: Vec<_> = recorded.iter().map(|event| cents(&AccountEvent::from_recorded(event).unwrap())).collect();
    assert_eq!(first.events.iter().map(cents).collect::<Vec<_>>(), stored);
    assert_eq!(first.version, recorded.last().unwrap().version);
}

/// Nothing that has happened since takes the first outcome away: neither an event that the program can't read, nor a name that
/// the events of another decision would have.
#[tokio::test]
async fn a_repetition_that_could_not_be_decided_has_the_first_outcome() {
    let (recount, store) = bank();
    let decided = recount.decide(GIVE).idempotency_key(key("decided")).await.unwrap();
    let commanded = recount.dispatch(deposit("ada", 3)).idempotency_key(key("commanded")).await.unwrap();
    for _ in 0..2 {
        // The balance is 4 or more, so the next deposit names no account.
        let again = recount.decide(GIVE).idempotency_key(key("decided")).await.unwrap();
        assert_eq!((again.events, again.repeated), (decided.events.clone(), true));
    }
    let unread = EventData::new(EventType::new("account.deposited").unwrap(), &br#"{"cents":"x"}"#[..]);
    store.append(Append::to(stream("ada"), ExpectedVersion::Any, vec![unread])).await.unwrap();
    let recount = Recount::new(store);
    let again = recount.dispatch(deposit("ada", 3)).idempotency_key(key("commanded")).await.unwrap();
    assert_eq!((again.events, again.repeated), (commanded.events, true));
    let again = recount.decide(GIVE).idempotency_key(key("decided")).await.unwrap();
    assert_eq!((again.events, again.repeated), (decided.events, true));
    let new = recount.decide(GIVE).idempotency_key(key("new")).await;
    assert!(matches!(new, Err(DispatchError::Load(LoadError::Decode { .. }))), "{new:?}");
}

/// The handle that has the aggregate in its cache answers as one that finds it erased.
#[tokio::test]
async fn nothing_of_an_erased_aggregate_has_no_version() {
    let (recount, store) = bank();
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    let caching = Recount::new(store.clone());
    let _ = caching.dispatch(look("ada")).await.unwrap();
    let faulty = FaultyStore::new(store.clone());
    let racing = Recount::new(faulty.clone());
    let _ = racing.dispatch(deposit("ada", 1)).await.unwrap();
    // It is erased after the look was decided, and before that is recorded.
    faulty.fail(Operation::Append, 1, Fault::PauseBefore);
    let asked = racing.clone();
    let first = tokio::spawn(async move { asked.dispatch(look("ada")).idempotency_key(key("k")).await.unwrap() });
    while faulty.pauses() == 0 {
        tokio::task::yield_now().await;
    }
    store.erase(&stream("ada")).await.unwrap();
    faulty.release();
    let first = first.await.unwrap();
    assert_eq!((first.version, first.repeated), (StreamVersion::EMPTY, false));
    let again = racing.dispatch(look("ada")).idempotency_key(key("k")).await.unwrap();
    assert_eq!((again.version, again.repeated), (StreamVersion::EMPTY, true));
}

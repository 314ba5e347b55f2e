//! Idempotency keys are kept for ever, or as long as the application says.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

extern crate recount_core as recount;

use std::time::Duration;

use recount_core::{
    Aggregate, Append, Apply, Command, DispatchError, Event, EventStore, EventType, ExpectedVersion, Handle,
    IdempotencyKey, Recount, StreamId,
};
use recount_store_memory::MemoryStore;

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "account")]
enum AccountEvent {
    Deposited { amount: u64 },
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is too much")]
struct TooMuch(u64);

#[derive(Command, Clone)]
#[command(aggregate = Account)]
struct Deposit {
    #[command(id)]
    account: String,
    amount: u64,
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "account", id = String, event = AccountEvent, error = TooMuch, commands(Deposit))]
struct Account;

impl Apply for Account {
    fn apply(&mut self, _: &AccountEvent) {}
}

impl Handle<Deposit> for Account {
    fn handle(&self, Deposit { amount, .. }: Deposit) -> Result<Vec<AccountEvent>, TooMuch> {
        match amount {
            0 => Ok(vec![]),
            1..=99 => Ok(vec![AccountEvent::Deposited { amount }]),
            _ => Err(TooMuch(amount)),
        }
    }
}

fn deposit(amount: u64) -> Deposit {
    Deposit { account: "1".into(), amount }
}

#[tokio::test]
async fn keys_are_kept_for_ever_unless_a_retention_is_set() {
    let recount = Recount::new(MemoryStore::new());
    let _ = recount.dispatch(deposit(1)).idempotency_key(key("k")).await.unwrap();
    assert_eq!(recount.sweep_keys().await.unwrap(), 0);
    assert!(recount.dispatch(deposit(1)).idempotency_key(key("k")).await.unwrap().repeated);
}

#[tokio::test]
async fn keys_within_the_retention_stay() {
    let recount = Recount::builder(MemoryStore::new()).key_retention(Duration::from_secs(3600)).build();
    let _ = recount.dispatch(deposit(1)).idempotency_key(key("k")).await.unwrap();
    assert_eq!(recount.sweep_keys().await.unwrap(), 0);
    assert!(recount.dispatch(deposit(1)).idempotency_key(key("k")).await.unwrap().repeated);
}

#[tokio::test]
async fn after_the_retention_a_repetition_is_a_new_request() {
    let store = MemoryStore::new();
    let recount = Recount::builder(store.clone()).key_retention(Duration::ZERO).build();
    let dispatch = |amount, name| recount.dispatch(deposit(amount)).idempotency_key(key(name)).keep_refusal();
    for round in 1..=2 {
        let first = dispatch(1, "events").await.unwrap();
        assert_eq!((first.version.get(), first.repeated), (round, false));
        assert!(!dispatch(0, "nothing").await.unwrap().repeated);
        let refused = dispatch(100, "refused").await;
        assert!(matches!(refused, Err(DispatchError::Rejected(TooMuch(100)))), "{refused:?}");
        let again = dispatch(100, "refused").await;
        assert!(matches!(again, Err(DispatchError::RefusedEarlier { .. })), "{again:?}");
        assert!(dispatch(0, "nothing").await.unwrap().repeated);
        assert_eq!(recount.sweep_keys().await.unwrap(), 3);
    }
    // The refusals are events, one for each time that the command was decided.
    assert_eq!(store.head().await.unwrap().get(), 4);
    let refused = recount_core::ReadStream::new(StreamId::new("recount.refused", "refused").unwrap());
    assert_eq!(futures_util::StreamExt::count(store.read_stream(refused)).await, 2);
}

#[tokio::test]
async fn more_keys_than_a_batch_are_swept_at_once() {
    let store = MemoryStore::new();
    for n in 0..2500 {
        let event = recount_core::EventData::new(EventType::new("account.deposited").unwrap(), "{}");
        let append = Append::to(StreamId::new("account", "1").unwrap(), ExpectedVersion::Any, vec![event]);
        let _ = store.append(append.idempotency_key(key(&n.to_string()))).await.unwrap();
    }
    let recount = Recount::builder(store).key_retention(Duration::ZERO).build();
    assert_eq!(recount.sweep_keys().await.unwrap(), 2500);
    assert_eq!(recount.sweep_keys().await.unwrap(), 0);
}

//! A refusal has the same data however the command was given: typed or by name, the first time or repeated.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

extern crate recount_core as recount;

use recount_core::{
    Aggregate, Apply, Command, Context, Decision, DispatchError, Event, Handle, IdempotencyKey, NameError, Query,
    Recount, Refusal,
};
use recount_store_memory::MemoryStore;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "account.deposited")]
struct Deposited {
    cents: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code")]
enum AccountError {
    #[error("the balance of {balance} is too small")]
    Overdrawn { balance: i64 },
    #[error("closed")]
    Closed,
}

#[derive(Command, Clone)]
#[command(aggregate = Account)]
struct Withdraw {
    #[command(id)]
    account: String,
    cents: i64,
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "account", id = String, event = Deposited, error = AccountError, commands(Withdraw))]
struct Account {}

impl Apply for Account {
    fn apply(&mut self, _: &Deposited) {}
}

impl Handle<Withdraw> for Account {
    fn handle(&self, withdraw: Withdraw) -> Result<Vec<Deposited>, AccountError> {
        Err(if withdraw.cents == 0 { AccountError::Closed } else { AccountError::Overdrawn { balance: 5 } })
    }
}

/// An error that does not serialize.
#[derive(Debug, thiserror::Error)]
#[error("full")]
struct Full;

#[derive(Command, Clone)]
#[command(aggregate = Shelf)]
struct Fill {
    #[command(id)]
    shelf: String,
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "shelf", id = String, event = Deposited, error = Full, commands(Fill))]
struct Shelf {}

impl Apply for Shelf {
    fn apply(&mut self, _: &Deposited) {}
}

impl Handle<Fill> for Shelf {
    fn handle(&self, _: Fill) -> Result<Vec<Deposited>, Full> {
        Err(Full)
    }
}

fn recount() -> Recount {
    Recount::builder(MemoryStore::new()).register::<Account>().register::<Shelf>().build()
}

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

fn withdraw(cents: i64) -> Withdraw {
    Withdraw { account: "1".into(), cents }
}

#[track_caller]
fn is_overdrawn(refusal: &Refusal) {
    assert_eq!((refusal.kind.as_str(), refusal.message.as_str()), ("Overdrawn", "the balance of 5 is too small"));
    assert_eq!(refusal.json, Some(json!({"code": "Overdrawn", "balance": 5})));
}

#[tokio::test]
async fn a_command_by_name_is_refused_with_the_data_of_the_typed_error() {
    let recount = recount();
    let Err(DispatchError::Rejected(typed)) = recount.dispatch(withdraw(1)).await else { panic!("not refused") };
    let refused = recount.dispatch_json("account", "withdraw", br#"{"account":"1","cents":1}"#).await.unwrap_err();
    let refusal = refused.refusal().unwrap();
    is_overdrawn(refusal);
    assert_eq!(refusal.downcast_ref::<AccountError>(), Some(&typed));
    assert_eq!(refused.to_string(), typed.to_string());
    let decoded: AccountError = serde_json::from_value(refusal.json.clone().unwrap()).unwrap();
    assert_eq!(decoded, typed);
}

#[tokio::test]
async fn an_error_that_does_not_serialize_has_a_kind_and_a_message() {
    let refused = recount().dispatch_json("shelf", "fill", br#"{"shelf":"1"}"#).await.unwrap_err();
    let refusal = refused.refusal().unwrap();
    assert_eq!((refusal.kind.as_str(), refusal.message.as_str(), &refusal.json), ("Full", "full", &None));
    assert!(refusal.downcast_ref::<Full>().is_some() && refusal.downcast_ref::<AccountError>().is_none());
}

#[tokio::test]
async fn a_kept_refusal_answers_a_repetition_as_it_answered_first() {
    let recount = recount();
    let json = br#"{"account":"1","cents":1}"#;
    let first = recount.dispatch(withdraw(1)).idempotency_key(key("k")).keep_refusal().await;
    assert!(matches!(first, Err(DispatchError::Rejected(_))), "{first:?}");
    let again = recount.dispatch(withdraw(1)).idempotency_key(key("k")).await;
    let Err(DispatchError::RefusedEarlier { refusal, .. }) = again else { panic!("{again:?}") };
    is_overdrawn(&refusal);
    assert!(refusal.downcast_ref::<AccountError>().is_none(), "only the data are kept");
    let by_name = recount.dispatch_json("account", "withdraw", json).idempotency_key(key("k")).await.unwrap_err();
    is_overdrawn(by_name.refusal().unwrap());
    // First by name, then typed.
    let by_name = recount.dispatch_json("account", "withdraw", json).idempotency_key(key("n")).keep_refusal().await;
    is_overdrawn(by_name.unwrap_err().refusal().unwrap());
    let again = recount.dispatch(withdraw(1)).idempotency_key(key("n")).await;
    let Err(DispatchError::RefusedEarlier { refusal, .. }) = again else { panic!("{again:?}") };
    is_overdrawn(&refusal);
    // A unit variant, and an error that does not serialize.
    for _ in 0..2 {
        let closed = recount.dispatch_json("account", "withdraw", br#"{"account":"1","cents":0}"#);
        let closed = closed.idempotency_key(key("c")).keep_refusal().await.unwrap_err();
        assert_eq!(closed.refusal().unwrap().json, Some(json!({"code": "Closed"})));
        let full = recount.dispatch_json("shelf", "fill", br#"{"shelf":"1"}"#).idempotency_key(key("f")).keep_refusal();
        let full = full.await.unwrap_err();
        assert_eq!((full.refusal().unwrap().kind.as_str(), &full.refusal().unwrap().json), ("Full", &None));
    }
}

#[tokio::test]
async fn a_decision_says_how_its_refusal_is_kept() {
    #[derive(Serialize)]
    struct Reserve;

    impl Decision for Reserve {
        type Event = Deposited;
        type State = ();
        type Error = AccountError;
        fn boundary(&self) -> Result<Query, NameError> {
            Ok(Query::all())
        }
        fn apply(&self, (): &mut (), _: &Deposited) {}
        fn decide(&self, (): &(), _: &Context<'_>) -> Result<Vec<Deposited>, AccountError> {
            Err(AccountError::Overdrawn { balance: 5 })
        }
        fn refusal_json(error: &AccountError) -> Option<serde_json::Value> {
            serde_json::to_value(error).ok()
        }
    }

    let recount = recount();
    let first = recount.decide(Reserve).idempotency_key(key("d")).keep_refusal().await;
    assert!(matches!(first, Err(DispatchError::Rejected(_))), "{first:?}");
    let again = recount.decide(Reserve).idempotency_key(key("d")).await;
    let Err(DispatchError::RefusedEarlier { refusal, .. }) = again else { panic!("{again:?}") };
    is_overdrawn(&refusal);
}

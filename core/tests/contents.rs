//! What tells a request under an idempotency key from another one.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

extern crate recount_core as recount;

use std::collections::BTreeMap;

use recount_core::{
    Aggregate, AppendError, Apply, Command, Context, Decision, DispatchError, Event, Handle, IdempotencyKey, NameError,
    Query, Recount, Tag,
};
use recount_store_memory::MemoryStore;
use serde::Serialize;

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "account")]
enum AccountEvent {
    Changed {
        #[event(tag)]
        iban: String,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

/// Some of its values JSON writes alike.
#[derive(Command, Clone)]
#[command(aggregate = Account)]
struct Pay {
    #[command(id)]
    iban: String,
    rate: Option<f64>,
    note: Option<serde_json::Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

#[derive(Command, Clone)]
#[command(aggregate = Account, name = "pay")]
struct EarlierPay {
    #[command(id)]
    iban: String,
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "account", id = String, event = AccountEvent, error = Refused, commands(Pay))]
struct Account {}

impl Apply for Account {
    fn apply(&mut self, _: &AccountEvent) {}
}

impl Handle<Pay> for Account {
    fn handle(&self, Pay { iban, .. }: Pay) -> Result<Vec<AccountEvent>, Refused> {
        Ok(vec![AccountEvent::Changed { iban }])
    }
}

impl Handle<EarlierPay> for Account {
    fn handle(&self, EarlierPay { iban }: EarlierPay) -> Result<Vec<AccountEvent>, Refused> {
        Ok(vec![AccountEvent::Changed { iban }])
    }
}

fn pay() -> Pay {
    Pay { iban: "DE89370400440532013000".into(), rate: None, note: None, rest: BTreeMap::new() }
}

/// Two processes on one store.
fn processes() -> (Recount, Recount) {
    let store = MemoryStore::new();
    (Recount::new(store.clone()), Recount::new(store))
}

#[tokio::test]
async fn a_command_that_json_does_not_tell_from_another_has_no_key() {
    let (one, other) = processes();
    let _ = one.dispatch(pay()).idempotency_key(key("k")).await.unwrap();
    for (awkward, field) in [
        (Pay { rate: Some(f64::NAN), ..pay() }, "`rate`"),
        (Pay { note: Some(serde_json::Value::Null), ..pay() }, "`note`"),
        (Pay { rest: [("rate".to_owned(), 1)].into(), ..pay() }, "`rate`"),
    ] {
        for key in [key("k"), key(field)] {
            let outcome = other.dispatch(awkward.clone()).idempotency_key(key).await;
            let Err(DispatchError::Malformed { source, .. }) = outcome else { panic!("{field}: {outcome:?}") };
            assert!(source.to_string().contains(field), "{source}");
        }
        let _ = other.dispatch(awkward).await.unwrap();
    }
}

#[tokio::test]
async fn a_text_of_many_digits_does_not_make_a_repetition_another_command() {
    let (one, other) = processes();
    let earlier = EarlierPay { iban: pay().iban };
    let first = one.dispatch(earlier).idempotency_key(key("k")).await.unwrap();
    let again = other.dispatch(pay()).idempotency_key(key("k")).await.unwrap();
    assert_eq!((again.events, again.repeated), (first.events, true));
}

#[tokio::test]
async fn decisions_that_write_no_name_are_told_apart_by_their_types() {
    #[derive(Serialize)]
    #[serde(transparent)]
    struct Open(String);
    #[derive(Serialize)]
    #[serde(transparent)]
    struct Close(String);
    macro_rules! decide {
        ($($decision:ident),*) => {$(
            impl Decision for $decision {
                type Event = AccountEvent;
                type State = ();
                type Error = Refused;
                fn boundary(&self) -> Result<Query, NameError> {
                    Ok(Query::tags([Tag::pair("iban", &self.0)?]))
                }
                fn apply(&self, (): &mut (), _: &AccountEvent) {}
                fn decide(&self, (): &(), _: &Context<'_>) -> Result<Vec<AccountEvent>, Refused> {
                    Ok(vec![AccountEvent::Changed { iban: self.0.clone() }])
                }
            }
        )*};
    }
    decide!(Open, Close);
    let (one, other) = processes();
    let first = one.decide(Open("12a".into())).idempotency_key(key("k")).await.unwrap();
    let close = other.decide(Close("12a".into())).idempotency_key(key("k")).await;
    assert!(matches!(close, Err(DispatchError::Append(AppendError::KeyReused { .. }))), "{close:?}");
    let again = other.decide(Open("12a".into())).idempotency_key(key("k")).await.unwrap();
    assert_eq!((again.events, again.repeated), (first.events, true));
}

#[tokio::test]
async fn decisions_of_one_variant_are_told_apart_by_their_types() {
    #[derive(Serialize)]
    enum Seats {
        Release { iban: String },
    }
    #[derive(Serialize)]
    enum Rooms {
        Release { iban: String },
    }
    macro_rules! decide {
        ($($decision:ident),*) => {$(
            impl Decision for $decision {
                type Event = AccountEvent;
                type State = ();
                type Error = Refused;
                fn boundary(&self) -> Result<Query, NameError> {
                    let Self::Release { iban } = self;
                    Ok(Query::tags([Tag::pair("iban", iban)?]))
                }
                fn apply(&self, (): &mut (), _: &AccountEvent) {}
                fn decide(&self, (): &(), _: &Context<'_>) -> Result<Vec<AccountEvent>, Refused> {
                    Ok(vec![])
                }
            }
        )*};
    }
    decide!(Seats, Rooms);
    let (one, other) = processes();
    let _ = one.decide(Seats::Release { iban: "7".into() }).idempotency_key(key("k")).await.unwrap();
    let room = other.decide(Rooms::Release { iban: "7".into() }).idempotency_key(key("k")).await;
    assert!(matches!(room, Err(DispatchError::Append(AppendError::KeyReused { .. }))), "{room:?}");
}

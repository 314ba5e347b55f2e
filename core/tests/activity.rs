//! The promises of activities.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::saving::{balance, settled};
use common::*;
use recount_core::{
    Activity, BoxError, Call, Commands, ConsumerKind, ExpectedRevision, Namespace, RetryBudget, StateStore, Status,
    TransientError,
};

/// A bank's partner: each deposit is paid out, and noted as a deposit to `paid`.
#[derive(Clone)]
struct Payouts(Arc<Partner>);

impl Payouts {
    fn new(partner: Partner) -> Self {
        Self(Arc::new(partner))
    }
}

impl std::ops::Deref for Payouts {
    type Target = Partner;

    fn deref(&self) -> &Partner {
        &self.0
    }
}

/// Its settings and its memory.
#[derive(Default)]
struct Partner {
    /// The key and number of each attempt.
    calls: Mutex<Vec<(String, u32)>>,
    failures: Mutex<Vec<BoxError>>,
    hangs: bool,
}

impl Activity for Payouts {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        "payouts"
    }

    async fn call(&self, event: &AccountEvent, call: &Call<'_>) -> Result<Commands, BoxError> {
        if call.recorded.stream.id() == "paid" {
            return Ok(Commands::none());
        }
        self.calls.lock().unwrap().push((call.key.to_string(), call.attempt));
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(error) = self.failures.lock().unwrap().pop() {
            return Err(error);
        }
        let AccountEvent::Deposited { cents } = event else { return Ok(Commands::none()) };
        Ok(Commands::send(deposit("paid", *cents)))
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(2)
    }
}

#[tokio::test]
async fn a_call_is_made_with_a_key_and_answered_by_a_command_once() {
    let (recount, store) = bank();
    let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
    let payouts = Payouts::new(Partner::default());
    let running = recount.consumers().activity(payouts.clone()).start();
    settled(&running, &store).await;
    assert_eq!(running.progress()[0].kind, ConsumerKind::Activity);
    running.shutdown().await;
    assert_eq!(balance(&recount, "paid").await, 5);
    // A lost checkpoint, as after a crash: the call is made again with its key, and its command has no second effect.
    store.delete(&Namespace::CONSUMER.key("activity/payouts").unwrap(), ExpectedRevision::Any).await.unwrap();
    let running = recount.consumers().activity(payouts.clone()).start();
    settled(&running, &store).await;
    let calls = payouts.calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], calls[1]);
    assert_eq!(balance(&recount, "paid").await, 5);
    assert!(store.list(Namespace::ATTEMPT, "", None, 10).await.unwrap().is_empty(), "answered calls leave no entries");
}

#[tokio::test]
async fn attempts_are_counted_over_failures_and_deaths() {
    let (recount, store) = bank();
    let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
    let hanging = Payouts::new(Partner { hangs: true, ..Partner::default() });
    let running = recount.consumers().activity(hanging.clone()).start();
    while hanging.calls.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The program dies in the call.
    drop(running);
    let payouts = Payouts::new(Partner::default());
    payouts.failures.lock().unwrap().push("no such account".into());
    payouts.failures.lock().unwrap().push(TransientError::new("connection refused").into());
    let running = recount.consumers().activity(payouts.clone()).start();
    settled(&running, &store).await;
    let calls = payouts.calls.lock().unwrap().clone();
    assert_eq!(calls.iter().map(|(_, attempt)| *attempt).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(calls.iter().all(|(key, _)| key == &hanging.calls.lock().unwrap()[0].0), "{calls:?}");
    assert_eq!(balance(&recount, "paid").await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_made_again_and_one_that_fails_for_good_stops_the_activity() {
    let (recount, _store) = bank();
    let _ = recount.dispatch(deposit("a", 5)).await.unwrap();
    let hanging = Payouts::new(Partner { hangs: true, ..Partner::default() });
    let running = recount.consumers().activity(hanging.clone()).start();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let calls = hanging.calls.lock().unwrap().len();
    assert!((3..=10).contains(&calls), "{calls} calls of 2 s in 20 s");
    running.shutdown().await;

    let payouts = Payouts::new(Partner::default());
    payouts.failures.lock().unwrap().extend((0..1000).map(|_| BoxError::from("no such account")));
    let budget = RetryBudget { time: Duration::from_secs(1), ..RetryBudget::default() };
    let running = recount.consumers().activity(payouts.clone()).retry(budget).start();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let Status::Stopped { error } = running.progress().remove(0).status else { panic!("{:?}", running.progress()) };
    assert!(error.contains("no such account"), "{error}");
}

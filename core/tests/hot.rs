//! What commands that wait for the same aggregate may rely on: they share an append, and nothing else.
//!
//! Time is paused, and every append takes 20 ms: the first command is recorded until 20, those that wait until 40.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::time::Duration;

use common::*;
use recount_core::{
    AppendError, DispatchError, EventStore, IdempotencyKey, Receipt, Recount, Retry, StoreError, StreamId,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

type Slow = FaultyStore<MemoryStore>;
type Outcome = Result<(Receipt<AccountEvent>, Account), DispatchError<TooLittle>>;

/// Ada's account with this much in it, known to the cache, in a store whose appends are slow from now on.
async fn slow_bank(balance: u64, retry: Retry) -> (Recount, Slow) {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::builder(store.clone()).retry(retry).build();
    let _ = recount.dispatch(deposit("ada", balance)).await.unwrap();
    store.fail_always(Operation::Append, Fault::Delay(Duration::from_millis(20)));
    store.reset_calls();
    (recount, store)
}

/// Dispatches in a task, which waits for its turn when this returns.
async fn waiting<C>(recount: &Recount, command: C) -> JoinHandle<Outcome>
where
    C: recount_core::Command<Aggregate = Account>,
    Account: recount_core::HandleWith<C>,
{
    let recount = recount.clone();
    let task = tokio::spawn(async move { recount.dispatch(command).and_load().await });
    yield_now().await;
    task
}

async fn balance(store: &Slow) -> u64 {
    Recount::new(store.inner().clone()).load::<Account>(&account("ada")).await.unwrap().balance
}

fn refusal(outcome: Outcome) -> TooLittle {
    match outcome {
        Err(DispatchError::Rejected(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_share_an_append_and_each_has_its_own_receipt() {
    let (recount, store) = slow_bank(1, Retry::default()).await;
    let mut tasks = Vec::new();
    for cents in 0..10 {
        tasks.push(waiting(&recount, deposit("ada", cents)).await);
    }
    let (mut sum, mut positions) = (1, Vec::new());
    for (cents, task) in (0..).zip(tasks) {
        let (receipt, state) = task.await.unwrap().unwrap();
        sum += cents;
        assert_eq!(receipt.events, [AccountEvent::Deposited { cents }]);
        assert_eq!((receipt.version.get(), state.balance), (cents + 2, sum), "the state after its own command");
        positions.push(receipt.position.unwrap().get());
    }
    assert_eq!(store.calls(Operation::Append), 2);
    assert_eq!(positions, [2, 11, 11, 11, 11, 11, 11, 11, 11, 11], "who read up to there has seen the events");
    assert_eq!(balance(&store).await, 46);
}

#[tokio::test(start_paused = true)]
async fn each_is_decided_on_the_state_after_the_one_before() {
    let (recount, store) = slow_bank(10, Retry::default()).await;
    let first = waiting(&recount, withdraw("ada", 1)).await;
    let granted = waiting(&recount, withdraw("ada", 8)).await;
    let refused = waiting(&recount, withdraw("ada", 8)).await;
    let nothing = waiting(&recount, Look { account: account("ada") }).await;
    let granted_too = waiting(&recount, withdraw("ada", 1)).await;
    let of_version = waiting(&recount, DepositVersion { account: account("ada") }).await;
    assert!(first.await.unwrap().is_ok());
    assert_eq!(granted.await.unwrap().unwrap().1.balance, 1);
    assert_eq!(refusal(refused.await.unwrap()), TooLittle { balance: 1 });
    let (receipt, state) = nothing.await.unwrap().unwrap();
    assert_eq!((receipt.version.get(), receipt.position, state.balance), (3, None, 1));
    assert_eq!(granted_too.await.unwrap().unwrap().1.balance, 0);
    assert_eq!(of_version.await.unwrap().unwrap().0.events, [AccountEvent::Deposited { cents: 4 }]);
    assert_eq!((store.calls(Operation::Append), balance(&store).await), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn on_a_conflict_all_are_decided_again_without_a_reload() {
    let (recount, store) = slow_bank(10, Retry::default()).await;
    let first = waiting(&recount, withdraw("ada", 1)).await;
    let second = waiting(&recount, withdraw("ada", 6)).await;
    let third = waiting(&recount, withdraw("ada", 3)).await;
    sleep(Duration::from_millis(30)).await;
    elsewhere(store.inner(), "ada", &[AccountEvent::Withdrawn { cents: 5 }]).await;
    assert!(first.await.unwrap().is_ok());
    assert_eq!(refusal(second.await.unwrap()), TooLittle { balance: 4 });
    assert_eq!(third.await.unwrap().unwrap().1.balance, 1);
    assert_eq!((store.calls(Operation::Append), store.calls(Operation::ReadStream)), (3, 1), "one look at the tail");
    assert_eq!(balance(&store).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_no_of_all_looks_for_newer_events_first() {
    let (recount, store) = slow_bank(1, Retry::default()).await;
    let first = waiting(&recount, withdraw("ada", 1)).await;
    let second = waiting(&recount, withdraw("ada", 5)).await;
    let third = waiting(&recount, withdraw("ada", 5)).await;
    sleep(Duration::from_millis(10)).await;
    // The first one's append meets it, and the others know of it then: that is no news for them.
    elsewhere(store.inner(), "ada", &[AccountEvent::Deposited { cents: 1 }]).await;
    assert!(first.await.unwrap().is_ok());
    assert_eq!(refusal(second.await.unwrap()), TooLittle { balance: 1 });
    assert_eq!(refusal(third.await.unwrap()), TooLittle { balance: 1 });
    // News of which nobody knows: it lets one of them through.
    let first = waiting(&recount, deposit("ada", 1)).await;
    let second = waiting(&recount, withdraw("ada", 5)).await;
    let third = waiting(&recount, withdraw("ada", 5)).await;
    let behind = store.clone();
    store.fail_always(Operation::ReadStream, Fault::Delay(Duration::from_millis(20)));
    sleep(Duration::from_millis(25)).await;
    elsewhere(behind.inner(), "ada", &[AccountEvent::Deposited { cents: 3 }]).await;
    assert!(first.await.unwrap().is_ok());
    assert_eq!(second.await.unwrap().unwrap().1.balance, 0);
    assert_eq!(refusal(third.await.unwrap()), TooLittle { balance: 0 });
}

#[tokio::test(start_paused = true)]
async fn conflicts_without_end_are_contention_for_each() {
    let (recount, store) = slow_bank(10, Retry { retries: 0, ..Retry::default() }).await;
    let first = waiting(&recount, deposit("ada", 1)).await;
    let others = [waiting(&recount, deposit("ada", 2)).await, waiting(&recount, deposit("ada", 3)).await];
    sleep(Duration::from_millis(30)).await;
    elsewhere(store.inner(), "ada", &[AccountEvent::Deposited { cents: 100 }]).await;
    assert!(first.await.unwrap().is_ok());
    for other in others {
        let outcome = other.await.unwrap();
        assert!(matches!(outcome, Err(DispatchError::Contended { attempts: 1, .. })), "{outcome:?}");
    }
    assert_eq!(balance(&store).await, 111);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_takes_nobody_along() {
    let (recount, store) = slow_bank(0, Retry::default()).await;
    let mut tasks = Vec::new();
    for cents in [1, 10, 100, 1_000, 10_000] {
        tasks.push(waiting(&recount, deposit("ada", cents)).await);
    }
    sleep(Duration::from_millis(10)).await;
    tasks[2].abort(); // still waits: has no effect
    sleep(Duration::from_millis(20)).await;
    tasks[1].abort(); // has the turn, for all: its append goes on
    tasks[3].abort(); // is being recorded
    let last = tasks.pop().unwrap().await.unwrap().unwrap();
    assert_eq!((last.0.version.get(), last.1.balance), (5, 11_011));
    assert_eq!((store.calls(Operation::Append), balance(&store).await), (2, 11_011));
    // The first one's caller may go away too: then its append is open, and the next ones find out.
    let first = waiting(&recount, deposit("ada", 100_000)).await;
    let next = [waiting(&recount, deposit("ada", 1)).await, waiting(&recount, deposit("ada", 1)).await];
    first.abort();
    for next in next {
        assert!(next.await.unwrap().is_ok());
    }
    assert_eq!(balance(&store).await, 11_013);
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_fails_all_alike_and_an_unknown_outcome_is_not_tried_again() {
    for (fault, unknown, expected) in [(Fault::Before, false, 1), (Fault::After, true, 11)] {
        let (recount, store) = slow_bank(0, Retry::default()).await;
        let first = waiting(&recount, deposit("ada", 1)).await;
        store.fail(Operation::Append, 1, fault);
        let others = [waiting(&recount, deposit("ada", 2)).await, waiting(&recount, deposit("ada", 8)).await];
        assert!(first.await.unwrap().is_ok());
        for other in others {
            match other.await.unwrap() {
                Err(error @ DispatchError::Append(AppendError::Store(_))) => {
                    assert!(error.is_transient());
                    let DispatchError::Append(AppendError::Store(error)) = error else { unreachable!() };
                    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "injected fault");
                    assert_eq!(matches!(error, StoreError::OutcomeUnknown { .. }), unknown);
                    assert_eq!(matches!(error, StoreError::Unavailable { .. }), !unknown);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((store.calls(Operation::Append), balance(&store).await), (2, expected));
        assert_eq!(recount.dispatch(deposit("ada", 1)).and_load().await.unwrap().1.balance, expected + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_may_be_to_blame_for_is_everyones_own_outcome() {
    let (recount, store) = slow_bank(0, Retry::default()).await;
    let first = waiting(&recount, deposit("ada", 1)).await;
    let closed = waiting(&recount, deposit("ada", 1)).await;
    let refused = waiting(&recount, withdraw("ada", 5)).await;
    sleep(Duration::from_millis(30)).await;
    store.archive(&StreamId::new("account", "ada").unwrap()).await.unwrap();
    assert!(first.await.unwrap().is_ok());
    let error = closed.await.unwrap().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "stream account/ada is archived and takes no more events");
    assert_eq!(refusal(refused.await.unwrap()), TooLittle { balance: 1 });
}

/// Dispatches under a key in a task. The task waits in the queue when this returns.
async fn waiting_keyed<C>(recount: &Recount, command: C, name: &str) -> JoinHandle<Outcome>
where
    C: recount_core::Command<Aggregate = Account>,
    Account: recount_core::HandleWith<C>,
{
    let (recount, key) = (recount.clone(), key(name));
    let task = tokio::spawn(async move { recount.dispatch(command).idempotency_key(key).and_load().await });
    yield_now().await;
    task
}

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn creating_commands_have_appends_of_their_own_in_their_place() {
    let (recount, store) = slow_bank(0, Retry::default()).await;
    let first = waiting(&recount, deposit("ada", 1)).await;
    let before = [waiting(&recount, deposit("ada", 2)).await, waiting(&recount, deposit("ada", 2)).await];
    let keyed = waiting_keyed(&recount, deposit("ada", 4), "k").await;
    let creating = waiting(&recount, Open { account: account("ada"), owner: "Ada".into() }).await;
    let after = [waiting(&recount, deposit("ada", 8)).await, waiting(&recount, deposit("ada", 8)).await];
    let version = |outcome: Outcome| outcome.unwrap().0.version.get();
    assert_eq!(version(first.await.unwrap()), 2);
    let mut versions = Vec::new();
    for task in before.into_iter().chain([keyed]).chain(after) {
        versions.push(version(task.await.unwrap()));
    }
    assert_eq!(versions, [3, 4, 5, 6, 7]);
    assert!(matches!(creating.await.unwrap(), Err(DispatchError::AlreadyExists { .. })));
    assert_eq!((store.calls(Operation::Append), balance(&store).await), (4, 25));
}

#[tokio::test(start_paused = true)]
async fn commands_with_keys_share_an_append_and_each_keeps_its_own_outcome() {
    let (recount, store) = slow_bank(1, Retry::default()).await;
    let mut tasks = vec![waiting(&recount, deposit("ada", 100)).await];
    for cents in 1..6 {
        tasks.push(waiting_keyed(&recount, deposit("ada", cents), &cents.to_string()).await);
    }
    tasks.push(waiting_keyed(&recount, Look { account: account("ada") }, "look").await);
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.push(task.await.unwrap().unwrap().0);
    }
    assert_eq!((store.calls(Operation::Append), store.calls(Operation::FindAppend)), (2, 0));
    // In another process, after further events, each key still returns its own outcome.
    let _ = recount.dispatch(deposit("ada", 7)).await.unwrap();
    let other = Recount::new(store.inner().clone());
    for (cents, first) in (1..6).zip(&receipts[1..]) {
        let again = other.dispatch(deposit("ada", cents)).idempotency_key(key(&cents.to_string())).await.unwrap();
        assert_eq!(again, Receipt { repeated: true, ..first.clone() });
    }
    let again = other.dispatch(Look { account: account("ada") }).idempotency_key(key("look")).await.unwrap();
    assert_eq!(again, Receipt { repeated: true, ..receipts[6].clone() });
    let reused = other.dispatch(deposit("ada", 9)).idempotency_key(key("3")).await.unwrap_err();
    assert!(matches!(reused, DispatchError::Append(AppendError::KeyReused { .. })), "{reused}");
    assert_eq!(balance(&store).await, 1 + 100 + 15 + 7);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_command_in_a_group_gets_its_first_outcome_and_the_others_go_on() {
    let (recount, store) = slow_bank(10, Retry::default()).await;
    let other = Recount::new(store.inner().clone());
    let known = other.dispatch(withdraw("ada", 10)).idempotency_key(key("known")).await.unwrap();
    let _ = other.dispatch(deposit("ada", 1)).await.unwrap();
    let first = waiting(&recount, deposit("ada", 1)).await;
    let tasks = [
        waiting_keyed(&recount, deposit("ada", 2), "a").await,
        // A known key whose command the state refuses, and the same key twice in one group.
        waiting_keyed(&recount, withdraw("ada", 10), "known").await,
        waiting_keyed(&recount, deposit("ada", 3), "b").await,
        waiting_keyed(&recount, deposit("ada", 3), "b").await,
    ];
    let _ = first.await.unwrap().unwrap();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap().unwrap().0);
    }
    assert_eq!(outcomes[1], Receipt { repeated: true, ..known });
    assert_eq!(outcomes[3], Receipt { repeated: true, ..outcomes[2].clone() });
    assert!(!outcomes[0].repeated && !outcomes[2].repeated);
    assert_eq!(balance(&store).await, 1 + 1 + 2 + 3);
}

#[tokio::test(start_paused = true)]
async fn a_known_key_is_taken_out_of_its_group() {
    let (recount, store) = slow_bank(100, Retry::default()).await;
    let other = Recount::new(store.inner().clone());
    let known = other.dispatch(deposit("ada", 5)).idempotency_key(key("known")).await.unwrap();
    let first = waiting(&recount, deposit("ada", 1)).await;
    let (before, repeated) = (
        waiting_keyed(&recount, deposit("ada", 2), "a").await,
        waiting_keyed(&recount, deposit("ada", 5), "known").await,
    );
    let after = waiting_keyed(&recount, deposit("ada", 3), "b").await;
    for task in [first, before, after] {
        assert!(!task.await.unwrap().unwrap().0.repeated);
    }
    assert_eq!(repeated.await.unwrap().unwrap().0, Receipt { repeated: true, ..known });
    assert_eq!(balance(&store).await, 100 + 5 + 1 + 2 + 3);
}

//! Aggregates that are met for the first time: whether they are new is guessed, and a wrong guess changes nothing but the
//! calls of the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::future::IntoFuture;
use std::time::Duration;

use common::*;
use futures_util::StreamExt;
use futures_util::future::join_all;
use recount_core::{
    AppendError, DispatchError, Event, EventStore, LoadError, Query, ReadAll, Recount, StoreError, Violation,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};
use tokio::time::timeout;

/// A handle that has met many new accounts and no other.
async fn sure() -> (Recount, FaultyStore<MemoryStore>) {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    for number in 0..20 {
        assert_eq!(recount.dispatch(deposit(&format!("new-{number}"), 1)).await.unwrap().version.get(), 1);
    }
    (recount, store)
}

#[tokio::test]
async fn after_eight_new_ones_in_a_row_new_ones_are_not_read() {
    let (recount, store) = sure().await;
    assert_eq!((store.calls(Operation::ReadStream), store.calls(Operation::Append)), (8, 20));
    // One that isn't new is read, and so are the next.
    elsewhere(&store, "old", &[AccountEvent::Deposited { cents: 5 }]).await;
    let (receipt, state) = recount.dispatch(deposit("old", 1)).and_load().await.unwrap();
    assert_eq!((receipt.version.get(), state.balance), (2, 6));
    assert_eq!((store.calls(Operation::ReadStream), store.calls(Operation::Append)), (9, 23));
    for number in 0..20 {
        let _ = recount.dispatch(deposit(&format!("newer-{number}"), 1)).await.unwrap();
    }
    assert_eq!(store.calls(Operation::ReadStream), 17);
}

#[tokio::test]
async fn a_refusal_is_never_guessed() {
    let (recount, store) = sure().await;
    elsewhere(&store, "old", &[AccountEvent::Deposited { cents: 5 }]).await;
    let (_, state) = recount.dispatch(withdraw("old", 4)).and_load().await.unwrap();
    assert_eq!(state.balance, 1);
    let (recount, _) = sure().await;
    match recount.dispatch(withdraw("nobody", 4)).await {
        Err(DispatchError::Rejected(error)) => assert_eq!(error, TooLittle { balance: 0 }),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_that_writes_nothing_is_never_guessed() {
    let (recount, store) = sure().await;
    elsewhere(&store, "old", &[AccountEvent::Deposited { cents: 5 }]).await;
    let receipt = recount.dispatch(Look { account: account("old") }).await.unwrap();
    assert_eq!((receipt.version.get(), receipt.position), (1, None));
}

#[tokio::test]
async fn closed_aggregates_fail_as_they_do_without_a_guess() {
    let (recount, store) = sure().await;
    for name in ["archived", "erased"] {
        elsewhere(&store, name, &[AccountEvent::Deposited { cents: 5 }]).await;
    }
    store.archive(&stream("archived")).await.unwrap();
    store.erase(&stream("erased")).await.unwrap();
    for recount in [recount, Recount::new(store.clone())] {
        match recount.dispatch(deposit("erased", 1)).await {
            Err(DispatchError::Load(LoadError::Store(StoreError::StreamErased { .. }))) => {}
            other => panic!("{other:?}"),
        }
        match recount.dispatch(deposit("archived", 1)).await {
            Err(DispatchError::Append(AppendError::Conflict(conflict))) => {
                assert!(matches!(&*conflict.violations, [Violation::Archived { .. }]), "{conflict}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whoever loads an aggregate has its turn, so that others wait for what is loaded instead of loading it too.
#[tokio::test(start_paused = true)]
async fn an_aggregate_is_loaded_once_for_all_who_come_meanwhile() {
    let store = FaultyStore::new(MemoryStore::new());
    elsewhere(&store, "old", &[AccountEvent::Deposited { cents: 5 }]).await;
    store.fail_always(Operation::ReadStream, Fault::Delay(Duration::from_millis(20)));
    store.reset_calls();
    let recount = Recount::new(store.clone());
    let all = (0..10).map(|_| async { recount.dispatch(deposit("old", 1)).await.unwrap().version.get() });
    let versions = join_all(all).await;
    assert_eq!(versions, (2..12).collect::<Vec<_>>());
    assert_eq!((store.calls(Operation::ReadStream), store.calls(Operation::Append)), (1, 2));
}

/// A load that fails, or that nobody waits for any more, leaves the turn to the next.
#[tokio::test(start_paused = true)]
async fn a_load_that_comes_to_nothing_holds_nobody_up() {
    let store = FaultyStore::new(MemoryStore::new());
    elsewhere(&store, "old", &[AccountEvent::Deposited { cents: 5 }]).await;
    let recount = Recount::new(store.clone());
    store.fail(Operation::ReadStream, 1, Fault::Before);
    assert!(matches!(recount.dispatch(deposit("old", 1)).await, Err(DispatchError::Load(LoadError::Store(_)))));
    store.fail(Operation::ReadStream, 1, Fault::Delay(Duration::from_secs(60)));
    assert!(timeout(Duration::from_secs(1), recount.dispatch(deposit("other", 1)).into_future()).await.is_err());
    for (name, version) in [("old", 2), ("other", 1)] {
        assert_eq!(recount.dispatch(deposit(name, 1)).await.unwrap().version.get(), version);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_processes_that_meet_the_same_aggregates_lose_nothing() {
    for seed in 0..20 {
        let store = MemoryStore::new();
        // Hardly anything stays warm, so that accounts are met again and again.
        let process = || Recount::builder(store.clone()).warm_aggregates(2).build();
        let tasks: Vec<_> = (0..3)
            .map(|task| {
                let (recount, mut random) = (process(), fastrand::Rng::with_seed(seed * 3 + task));
                tokio::spawn(async move {
                    let mut deposited = 0;
                    for number in 0..100 {
                        // Long runs of new ones, then some that others have met as well.
                        let new = number % 20 < 14;
                        let name =
                            if new { format!("{task}-{number}") } else { format!("shared-{}", random.u8(0..10)) };
                        let cents = random.u64(1..9);
                        let _ = recount.dispatch(deposit(&name, cents)).await.unwrap();
                        deposited += cents;
                    }
                    deposited
                })
            })
            .collect();
        let mut deposited = 0;
        for task in tasks {
            deposited += task.await.unwrap();
        }
        let mut recorded = 0;
        let mut events = store.read_all(ReadAll::new(Query::all()));
        while let Some(event) = events.next().await {
            match AccountEvent::from_recorded(&event.unwrap()).unwrap() {
                AccountEvent::Deposited { cents } => recorded += cents,
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert_eq!(recorded, deposited, "seed {seed}");
    }
}

//! What dispatching promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use recount_core::{DispatchError, EventStore, IdempotencyKey, LoadError, Metadata, Recount, StreamVersion, Timestamp};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

#[tokio::test]
async fn a_receipt_says_what_happened() {
    let (recount, store) = bank();
    let receipt = recount.dispatch(deposit("ada", 5)).await.unwrap();
    assert_eq!(receipt.events, [AccountEvent::Deposited { cents: 5 }]);
    assert_eq!(receipt.version.get(), 1);
    assert_eq!(receipt.position, Some(store.head().await.unwrap()));
    assert!(!receipt.repeated);
    let (receipt, state) = recount.dispatch(withdraw("ada", 2)).and_load().await.unwrap();
    assert_eq!((receipt.version.get(), state.balance), (2, 3));
}

#[tokio::test]
async fn a_refusal_is_the_domains_own_error_and_writes_nothing() {
    let (recount, store) = bank();
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    let head = store.head().await.unwrap();
    match recount.dispatch(withdraw("ada", 6)).await {
        Err(DispatchError::Rejected(error)) => assert_eq!(error, TooLittle { balance: 5 }),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.head().await.unwrap(), head);
}

#[tokio::test]
async fn a_command_that_needs_nothing_to_happen_writes_nothing() {
    let (recount, store) = bank();
    let receipt = recount.dispatch(Look { account: account("ada") }).await.unwrap();
    assert_eq!((receipt.version, receipt.position), (StreamVersion::EMPTY, None));
    assert_eq!(store.head().await.unwrap().get(), 0);
}

#[tokio::test]
async fn a_creating_command_creates_once() {
    let (recount, _) = bank();
    let open = Open { account: account("ada"), owner: "Ada".into() };
    assert_eq!(recount.dispatch(open.clone()).await.unwrap().version.get(), 1);
    match recount.dispatch(open).await {
        Err(DispatchError::AlreadyExists { stream, version }) => {
            assert_eq!((stream.to_string().as_str(), version.get()), ("account/ada", 1));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn after_a_conflict_it_decides_again_on_the_newer_state() {
    let (recount, store) = bank();
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    elsewhere(&store, "ada", &[AccountEvent::Withdrawn { cents: 4 }]).await;
    match recount.dispatch(withdraw("ada", 3)).await {
        Err(DispatchError::Rejected(error)) => assert_eq!(error, TooLittle { balance: 1 }),
        other => panic!("the state was stale: {other:?}"),
    }
}

#[tokio::test]
async fn a_conflict_with_more_events_than_it_carries_is_read_up() {
    let (recount, store) = bank();
    let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    elsewhere(&store, "ada", &vec![AccountEvent::Deposited { cents: 1 }; 1_000]).await;
    let (receipt, state) = recount.dispatch(withdraw("ada", 1_001)).and_load().await.unwrap();
    assert_eq!((receipt.version.get(), state.balance), (1_002, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_processes_never_overdraw() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let store = MemoryStore::new();
        let processes = [Recount::new(store.clone()), Recount::new(store.clone()), Recount::new(store.clone())];
        let _ = processes[0].dispatch(deposit("ada", 100)).await.unwrap();
        let tasks: Vec<_> = (0..60)
            .map(|_| {
                let (recount, cents) = (processes[random.usize(0..3)].clone(), random.u64(1..9));
                tokio::spawn(async move {
                    match recount.dispatch(withdraw("ada", cents)).await {
                        Ok(_) => cents,
                        Err(DispatchError::Rejected(_)) => 0,
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                })
            })
            .collect();
        let mut taken = 0;
        for task in tasks {
            taken += task.await.unwrap();
        }
        let left: Account = processes[1].load(&account("ada")).await.unwrap();
        assert_eq!(left.balance + taken, 100, "seed {seed}");
    }
}

#[tokio::test]
async fn the_same_key_returns_the_first_outcome() {
    let (recount, store) = bank();
    let first = recount.dispatch(deposit("ada", 5)).idempotency_key(key("k")).await.unwrap();
    let _ = recount.dispatch(deposit("ada", 7)).await.unwrap();
    let head = store.head().await.unwrap();
    let again = recount.dispatch(deposit("ada", 5)).idempotency_key(key("k")).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.version, again.position, &again.events), (first.version, first.position, &first.events));
    assert_eq!(store.head().await.unwrap(), head);
}

#[tokio::test]
async fn a_command_that_succeeded_is_not_refused_when_it_is_repeated() {
    let (recount, _) = bank();
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    let first = recount.dispatch(withdraw("ada", 5)).idempotency_key(key("k")).await.unwrap();
    let again = recount.dispatch(withdraw("ada", 5)).idempotency_key(key("k")).await.unwrap();
    assert_eq!(again.events, first.events);
}

#[tokio::test]
async fn the_same_key_for_another_command_is_an_error() {
    let (recount, _) = bank();
    let _ = recount.dispatch(deposit("ada", 5)).idempotency_key(key("k")).await.unwrap();
    let error = recount.dispatch(deposit("ada", 6)).idempotency_key(key("k")).await.unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "idempotency key k was already used for other content: use a new key for a new request"
    );
}

#[tokio::test]
async fn handlers_see_their_circumstances() {
    let (recount, _) = bank();
    let _ = recount.dispatch(deposit("ada", 5)).await.unwrap();
    let receipt = recount.dispatch(DepositVersion { account: account("ada") }).await.unwrap();
    assert_eq!(receipt.events, [AccountEvent::Deposited { cents: 1 }]);
}

#[tokio::test]
async fn metadata_flows_from_the_scope_and_starts_a_conversation_otherwise() {
    use futures_util::StreamExt;
    let (recount, store) = bank();
    let metadata = Metadata { correlation_id: Some("c1".into()), actor: Some("web".into()), ..Metadata::default() };
    let _ = metadata.clone().scope(async { recount.dispatch(deposit("ada", 1)).await }).await.unwrap();
    let _ = recount.dispatch(deposit("ada", 2)).actor("cli").await.unwrap();
    let events: Vec<_> = store.read_stream(recount_core::ReadStream::new(stream("ada"))).collect().await;
    let found: Vec<_> = events.into_iter().map(|event| event.unwrap().data.metadata).collect();
    assert_eq!(found[0], metadata);
    assert_eq!(found[1].actor.as_deref(), Some("cli"));
    assert!(found[1].correlation_id.is_some());
}

#[tokio::test]
async fn the_past_can_be_loaded_by_version_and_by_time() {
    let (recount, _) = bank();
    assert!(matches!(recount.load::<Account>(&account("ada")).await, Err(LoadError::NotFound { .. })));
    let before = Timestamp::now();
    for cents in [1, 2, 3] {
        let _ = recount.dispatch(deposit("ada", cents)).await.unwrap();
    }
    let at = |version| recount.load::<Account>(&account("ada")).at_version(version);
    assert_eq!(at(2).await.unwrap().balance, 3);
    assert_eq!(at(99).await.unwrap().balance, 6);
    assert_eq!(recount.load::<Account>(&account("ada")).at(Timestamp::now()).await.unwrap().balance, 6);
    assert!(matches!(recount.load::<Account>(&account("ada")).at(before).await, Err(LoadError::NotFound { .. })));
}

#[tokio::test]
async fn a_load_sees_what_others_wrote() {
    let (recount, store) = bank();
    let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    elsewhere(&store, "ada", &[AccountEvent::Deposited { cents: 4 }]).await;
    assert_eq!(recount.load::<Account>(&account("ada")).await.unwrap().balance, 5);
}

#[tokio::test]
async fn an_erased_aggregate_is_gone_with_its_snapshot() {
    let (recount, store) = bank();
    for _ in 0..25 {
        let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    }
    recount.erase::<Account>(&account("ada")).await.unwrap();
    assert!(recount.load::<Account>(&account("ada")).await.is_err());
    let error = recount.dispatch(deposit("ada", 1)).await.unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("was erased"), "{cause}");
    assert!(
        recount_core::StateStore::list(&store, recount_core::Namespace::SNAPSHOT, "", None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn commands_can_be_dispatched_by_name() {
    let recount = Recount::builder(MemoryStore::new()).register::<Account>().build();
    let json = br#"{"account":"ada","cents":5}"#;
    let receipt = recount.dispatch_json("account", "deposit", json).await.unwrap();
    assert_eq!(receipt.events[0].event_type.as_str(), "account.deposited");
    match recount.dispatch_json("account", "withdraw", br#"{"account":"ada","cents":6}"#).await {
        Err(DispatchError::Rejected(refusal)) => {
            assert_eq!(refusal.downcast_ref(), Some(&TooLittle { balance: 5 }));
        }
        other => panic!("{other:?}"),
    }
    let unknown = recount.dispatch_json("account", "steal", json).await.unwrap_err().to_string();
    assert!(unknown.starts_with("there is no command steal of account; known: account."), "{unknown}");
    let malformed = recount.dispatch_json("account", "deposit", br#"{"account":"ada","cent":5}"#).await.unwrap_err();
    assert_eq!(malformed.to_string(), "command deposit is not well-formed");
    let reason = std::error::Error::source(&malformed).unwrap().to_string();
    assert!(reason.contains("unknown field `cent`"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_dispatch_leaves_the_aggregate_usable() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    store.fail_always(Operation::Append, Fault::Delay(Duration::from_millis(20)));
    let recount = Recount::new(Arc::clone(&store));
    for _ in 0..5 {
        let dispatched =
            tokio::time::timeout(Duration::from_millis(5), async { recount.dispatch(deposit("ada", 1)).await });
        assert!(dispatched.await.is_err());
    }
    let (receipt, state) = recount.dispatch(deposit("ada", 1)).and_load().await.unwrap();
    assert_eq!(receipt.version.get(), state.balance);
}

#[tokio::test]
async fn a_warm_aggregate_needs_one_call_a_command_and_a_cold_one_two() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    store.reset_calls();
    for _ in 0..5 {
        let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    }
    assert_eq!((store.calls(Operation::Append), store.calls(Operation::ReadStream)), (5, 0));
    let cold = Recount::new(store.clone());
    store.reset_calls();
    let _ = cold.dispatch(deposit("ada", 1)).await.unwrap();
    assert_eq!((store.calls(Operation::Append), store.calls(Operation::ReadStream)), (1, 1));
}

#[tokio::test]
async fn a_snapshot_shortens_the_replay_and_is_never_trusted_more_than_the_events() {
    use recount_core::{ExpectedRevision, StateStore};
    let store = FaultyStore::new(MemoryStore::new());
    for _ in 0..25 {
        let _ = Recount::new(store.clone()).dispatch(deposit("ada", 1)).await.unwrap();
    }
    let key = recount_core::Namespace::SNAPSHOT.key("account/ada").unwrap();
    let kept = store.get(&key).await.unwrap().expect("every ten events").value;
    assert_eq!(Recount::new(store.clone()).load::<Account>(&account("ada")).await.unwrap().balance, 25);
    // Garbage, a snapshot of another version, and one from a future that was undone by restoring a backup.
    let mut other_version = kept.to_vec();
    other_version[0] += 1;
    let mut ahead = kept.to_vec();
    ahead[4] = 200;
    for wrong in [b"garbage, long enough".to_vec(), vec![], other_version, ahead] {
        store.put(&key, wrong.into(), ExpectedRevision::Any, None).await.unwrap();
        let (receipt, state) = Recount::new(store.clone()).dispatch(deposit("ada", 1)).and_load().await.unwrap();
        assert_eq!(receipt.version.get(), state.balance);
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_never_ends_is_reported_as_contention() {
    let store = FaultyStore::new(MemoryStore::new());
    let retry = recount_core::Retry { retries: 3, ..recount_core::Retry::default() };
    let recount = Recount::builder(store.clone()).retry(retry).build();
    let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
    // Each attempt meets a competitor who is faster.
    store.fail_always(Operation::Append, Fault::Delay(Duration::from_millis(4)));
    let competitor = tokio::spawn({
        let store = store.clone();
        async move {
            loop {
                elsewhere(store.inner(), "ada", &[AccountEvent::Deposited { cents: 1 }]).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let outcome = recount.dispatch(withdraw("ada", 1)).await;
    competitor.abort();
    match outcome {
        Err(error @ DispatchError::Contended { attempts, .. }) => {
            assert_eq!(attempts, 4);
            assert!(error.is_transient());
        }
        other => panic!("{other:?}"),
    }
}

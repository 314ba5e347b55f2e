//! Writes to several entries of the state at once, the clock of the store, and namespaces of keys.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use recount_core::ExpectedRevision::{Absent, Any, Exact};
use recount_core::{
    ExpectedRevision, InvalidState, MAX_STATE_BATCH, MAX_STATE_VALUE, Namespace, Revision, StateDelete, StateError,
    StateKey, StatePut, Store, Timestamp,
};

use super::Harness;
use super::support::*;

/// Entries of one batch get increasing revisions, in the order of the request; a batch deletes as single calls do.
pub async fn entries_are_written_and_deleted_together(h: &dyn Harness) {
    let (store, other) = (h.open().await, h.open().await);
    let before = store.put(&state_key("b"), "old".into(), Any, None).await.unwrap();
    assert_eq!(store.put_many(Vec::new()).await.unwrap(), []);
    store.delete_many(Vec::new()).await.unwrap();
    let puts = vec![put("c", "3", Absent), put("a", "", Any), put("b", "2", Exact(before))];
    let revisions = store.put_many(puts.clone()).await.unwrap();
    assert!(revisions.len() == 3 && revisions[0] > before && revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    for (put, revision) in puts.iter().zip(&revisions) {
        let entry = other.get(&put.key).await.unwrap().unwrap();
        assert_eq!((entry.value, entry.revision), (put.value.clone(), *revision), "{}", put.key);
    }
    let deletes = vec![delete("a", Any), delete("none", Absent), delete("c", Exact(revisions[0])), delete("no", Any)];
    other.delete_many(deletes).await.unwrap();
    assert_eq!(held(&*store).await, [("b".to_owned(), revisions[2])]);
    let many: Vec<_> = (0..MAX_STATE_BATCH).map(|n| put(&format!("m{n:04}"), "x", Absent)).collect();
    let keys: Vec<_> = many.iter().map(|put| StateDelete { key: put.key.clone(), expected: Any }).collect();
    assert_eq!(store.put_many(many).await.unwrap().len(), MAX_STATE_BATCH);
    store.delete_many(keys).await.unwrap();
    assert_eq!(held(&*store).await.len(), 1);
}

/// If one entry is not as expected, nothing changes, and the error names the first such entry.
pub async fn a_batch_with_a_mismatch_changes_nothing(h: &dyn Harness) {
    let store = h.open().await;
    let a = store.put(&state_key("a"), "a".into(), Absent, None).await.unwrap();
    let b = store.put(&state_key("b"), "b".into(), Absent, None).await.unwrap();
    let before = held(&*store).await;
    for (wrong, expected, actual) in
        [("b", Exact(a), Some(b)), ("b", Absent, Some(b)), ("n", Exact(a), None), ("a", Exact(b), Some(a))]
    {
        let first = if wrong == "a" { "c" } else { "a" };
        let puts = vec![put(first, "new", Any), put(wrong, "new", expected), put("d", "new", Exact(b))];
        let (key, found) = mismatch(store.put_many(puts).await);
        assert_eq!((key, found), (state_key(wrong), actual), "put {wrong} {expected:?}");
        let deletes = vec![delete(first, Any), delete(wrong, expected), delete("d", Exact(b))];
        let (key, found) = mismatch(store.delete_many(deletes).await);
        assert_eq!((key, found), (state_key(wrong), actual), "delete {wrong} {expected:?}");
        assert_eq!(held(&*store).await, before);
    }
}

/// A repeated key, too many entries and too large values refuse the request before it reaches the store.
pub async fn a_batch_beyond_the_limits_is_refused(h: &dyn Harness) {
    let store = h.open().await;
    let invalid = |outcome: Result<(), StateError>| match outcome {
        Err(StateError::Invalid(error)) => error,
        other => panic!("expected a refusal, got {other:?}"),
    };
    let twice = store.put_many(vec![put("a", "1", Any), put("b", "1", Any), put("a", "2", Any)]).await.map(drop);
    assert!(matches!(invalid(twice), InvalidState::KeyTwice { key } if key == state_key("a")));
    let twice = store.delete_many(vec![delete("a", Any), delete("a", Any)]).await;
    assert!(matches!(invalid(twice), InvalidState::KeyTwice { .. }));
    let many = (0..=MAX_STATE_BATCH).map(|n| put(&n.to_string(), "", Any)).collect();
    assert!(matches!(invalid(store.put_many(many).await.map(drop)), InvalidState::TooManyEntries { .. }));
    let many = (0..=MAX_STATE_BATCH).map(|n| delete(&n.to_string(), Any)).collect();
    assert!(matches!(invalid(store.delete_many(many).await), InvalidState::TooManyEntries { .. }));
    let large = Bytes::from(vec![0; MAX_STATE_VALUE + 1]);
    let lone = store.put(&state_key("a"), large.clone(), Any, None).await.map(drop);
    assert!(matches!(invalid(lone), InvalidState::ValueTooLarge { size, .. } if size == MAX_STATE_VALUE + 1));
    let batch = vec![put("b", "", Any), StatePut { value: large.clone(), ..put("a", "", Any) }];
    assert!(matches!(invalid(store.put_many(batch).await.map(drop)), InvalidState::ValueTooLarge { .. }));
    let half = large.slice(..MAX_STATE_VALUE / 2 + 1);
    let halves = ["a", "b"].map(|name| StatePut { value: half.clone(), ..put(name, "", Any) });
    assert!(matches!(invalid(store.put_many(halves.into()).await.map(drop)), InvalidState::BatchTooLarge { .. }));
    assert_eq!(held(&*store).await, []);
    store.put(&state_key("a"), large.slice(1..), Any, None).await.unwrap();
    assert_eq!(store.get(&state_key("a")).await.unwrap().unwrap().value.len(), MAX_STATE_VALUE);
}

/// Each entry of a batch expires by its own time to live, and an expired one counts as absent for the next batch.
pub async fn entries_of_a_batch_expire_each_by_its_own_time(h: &dyn Harness) {
    let store = h.open().await;
    let lasting = |name, time_to_live| StatePut { time_to_live, ..put(name, "x", Absent) };
    let (short, long) = (Some(Duration::from_millis(40)), Some(Duration::from_secs(3600)));
    let puts = vec![lasting("short", short), lasting("long", long), lasting("ever", None), lasting("brief", short)];
    let revisions = store.put_many(puts).await.unwrap();
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(held(&*store).await, [("ever".to_owned(), revisions[2]), ("long".to_owned(), revisions[1])]);
    let stale = store.put_many(vec![put("ever", "y", Any), put("short", "y", Exact(revisions[0]))]).await;
    assert_eq!(mismatch(stale), (state_key("short"), None));
    let stale = store.delete_many(vec![delete("long", Any), delete("brief", Exact(revisions[3]))]).await;
    assert_eq!(mismatch(stale), (state_key("brief"), None));
    store.put_many(vec![put("short", "y", Absent), put("brief", "y", Absent)]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(held(&*store).await.len(), 4, "the old expiries are void");
}

/// Of racing batches that share an entry with the same expectation exactly one wins, and all its entries are there.
pub async fn of_racing_batches_that_overlap_exactly_one_wins(h: &dyn Harness) {
    let instances = instances(h).await;
    let mut random = random();
    for round in 0..scaled(h, 10) {
        let (shared, seed) = (format!("{round}/shared"), random.u64(..));
        let outcomes = race(12, |task| {
            let (store, shared) = (instances[task % 2].clone(), shared.clone());
            async move {
                let mut random = fastrand::Rng::with_seed(seed ^ task as u64);
                let mut puts: Vec<_> =
                    (0..4).map(|n| put(&format!("{round}/{task}/{n}"), &task.to_string(), Absent)).collect();
                puts.push(put(&shared, &task.to_string(), Absent));
                random.shuffle(&mut puts);
                store.put_many(puts).await.map(|_| task)
            }
        })
        .await;
        let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        let [winner] = winners[..] else { panic!("round {round}: {} winners", winners.len()) };
        for outcome in outcomes.iter().filter(|outcome| outcome.is_err()) {
            let Err(StateError::Mismatch { key, .. }) = outcome else { panic!("{outcome:?}") };
            assert_eq!(*key, state_key(&shared));
        }
        let found = instances[0].list(Namespace::USER, &format!("{round}/"), None, 100).await.unwrap();
        assert_eq!(found.len(), 5, "round {round}");
        assert!(found.iter().all(|(_, entry)| entry.value == winner.to_string().as_bytes()), "round {round}");
    }
}

/// Batches over the same entries, each in an order of its own, all get through in time, beside single writes and deletions;
/// the entries that stay are of one batch.
pub async fn overlapping_batches_in_any_order_all_get_through(h: &dyn Harness) {
    let instances = instances(h).await;
    let mut random = random();
    let names: Vec<_> = (0..12).map(|n| format!("k{n}")).collect();
    for _ in 0..scaled(h, 5) {
        let seed = random.u64(..);
        let racing = race(16, |task| {
            let (store, mut names) = (instances[task % 2].clone(), names.clone());
            async move {
                fastrand::Rng::with_seed(seed ^ task as u64).shuffle(&mut names);
                match task {
                    0 => store.delete_many(names.iter().map(|name| delete(name, Any)).collect()).await,
                    1 => store.put(&state_key("other"), "x".into(), Any, Some(Duration::ZERO)).await.map(drop),
                    _ => {
                        let expiring =
                            |name: &String| StatePut { time_to_live: Some(Duration::ZERO), ..put(name, "", Any) };
                        store.put_many(names.iter().map(expiring).collect()).await?;
                        let put = |name: &String| put(name, &task.to_string(), Any);
                        store.put_many(names.iter().map(put).collect()).await.map(drop)
                    }
                }
            }
        });
        for outcome in tokio::time::timeout(Duration::from_secs(60), racing).await.unwrap() {
            outcome.unwrap();
        }
        let found = instances[0].list(Namespace::USER, "k", None, 100).await.unwrap();
        let values: BTreeSet<_> = found.iter().map(|(_, entry)| entry.value.clone()).collect();
        assert!(values.len() <= 1 && [0, names.len()].contains(&found.len()), "{found:?}");
    }
}

/// A batch is there wholly or not at all if its future is dropped, at any point, and the store works on.
pub async fn a_cancelled_batch_is_whole_or_absent(h: &dyn Harness) {
    let store = h.open().await;
    let mut random = random();
    for round in 0..scaled(h, 30) {
        let puts = (0..20).map(|n| put(&format!("{round}/{n}"), "x", Absent)).collect();
        let patience = Duration::from_micros(random.u64(0..3000));
        drop(tokio::time::timeout(patience, store.put_many(puts)).await);
    }
    // Queued behind the earlier requests.
    store.put(&state_key("last"), Bytes::new(), Any, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    for round in 0..scaled(h, 30) {
        let found = store.list(Namespace::USER, &format!("{round}/"), None, 100).await.unwrap().len();
        assert!(found == 0 || found == 20, "round {round}: {found} of 20");
    }
}

/// The store's time does not go back, is the same for all instances, and decides whether an entry expires.
pub async fn the_store_tells_the_time_that_expiry_goes_by(h: &dyn Harness) {
    let instances = instances(h).await;
    let mut last = instances[0].now().await.unwrap();
    assert!(Timestamp::now().duration_since(last).as_hours().abs() < 24, "{last}");
    for turn in 0..10 {
        let now = instances[turn % 2].now().await.unwrap();
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
    let life = Duration::from_millis(60);
    let before = instances[0].now().await.unwrap();
    instances[0].put(&state_key("k"), "x".into(), Absent, Some(life)).await.unwrap();
    let after = instances[1].now().await.unwrap();
    loop {
        let early = instances[1].now().await.unwrap();
        let found = instances[0].get(&state_key("k")).await.unwrap();
        let late = instances[1].now().await.unwrap();
        match found {
            Some(_) => assert!(early <= after + life, "there at {early}, written before {after}"),
            None => break assert!(late >= before + life, "gone by {late}, written after {before}"),
        }
    }
}

/// Equal names in different namespaces are different entries, for each call, and a list stays within its namespace.
pub async fn keys_of_different_namespaces_never_meet(h: &dyn Harness) {
    let store = h.open().await;
    let namespaces = [Namespace::USER, Namespace::SNAPSHOT, Namespace::LEASE, Namespace::CONSUMER];
    let names = ["a", "user/a", "snapshot/a", "lease/a", "consumer/a", "/", "../lease/a"];
    let keys: Vec<_> = namespaces.into_iter().flat_map(|space| names.map(|name| space.key(name).unwrap())).collect();
    for key in &keys {
        store.put(key, key.as_stored().to_owned().into(), Absent, None).await.unwrap();
    }
    for key in &keys {
        assert_eq!(store.get(key).await.unwrap().unwrap().value, key.as_stored().as_bytes());
    }
    for namespace in namespaces {
        for prefix in ["", "a", "snapshot/", "user", "/"] {
            let found = store.list(namespace, prefix, None, 100).await.unwrap();
            let wanted = names.iter().filter(|name| name.starts_with(prefix)).count();
            assert_eq!(found.len(), wanted, "{namespace} {prefix:?}");
            assert!(found.iter().all(|(key, _)| key.is_in(namespace) && key.name().starts_with(prefix)));
        }
        let behind = Namespace::CONSUMER.key("b").unwrap();
        assert!(store.list(namespace, "", Some(&behind), 100).await.unwrap().iter().all(|(key, _)| *key > behind));
    }
    store.delete(&Namespace::LEASE.key("a").unwrap(), Any).await.unwrap();
    assert!(store.get(&StateKey::new("lease/a").unwrap()).await.unwrap().is_some());
}

fn put(name: &str, value: &str, expected: ExpectedRevision) -> StatePut {
    StatePut { key: state_key(name), value: value.to_owned().into(), expected, time_to_live: None }
}

fn delete(name: &str, expected: ExpectedRevision) -> StateDelete {
    StateDelete { key: state_key(name), expected }
}

async fn held(store: &dyn Store) -> Vec<(String, Revision)> {
    let found = store.list(Namespace::USER, "", None, 1000).await.unwrap();
    found.into_iter().map(|(key, entry)| (key.name().to_owned(), entry.revision)).collect()
}

#[track_caller]
fn mismatch<T: std::fmt::Debug>(outcome: Result<T, StateError>) -> (StateKey, Option<Revision>) {
    match outcome {
        Err(StateError::Mismatch { key, actual, .. }) => (key, actual),
        other => panic!("expected a mismatch, got {other:?}"),
    }
}

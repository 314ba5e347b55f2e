//! The keyed state: compare-and-set, expiry, listing.

use std::time::Duration;

use bytes::Bytes;
use recount_core::ExpectedRevision::{Absent, Any, Exact};
use recount_core::{ExpectedRevision, Namespace, Revision, StateError, StateStore, Store};

use super::Harness;
use super::support::*;

/// Put, get, replace, delete; values are any bytes.
pub async fn an_entry_is_written_read_replaced_and_deleted(h: &dyn Harness) {
    let store = h.open().await;
    let key = state_key("k");
    assert_eq!(store.get(&key).await.unwrap(), None);
    let mut last = Revision(0);
    for value in [&b"one"[..], b"", b"\0\xff{", &[7; 100_000]] {
        let revision = put(&*store, "k", value, Any).await.unwrap();
        assert!(revision > last, "{revision:?} after {last:?}");
        let entry = store.get(&key).await.unwrap().unwrap();
        assert_eq!((&entry.value[..], entry.revision), (value, revision));
        last = revision;
    }
    store.delete(&key, Exact(last)).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), None);
}

/// A write or delete goes through if the entry is as expected; otherwise the error says how it is, and nothing changes.
pub async fn an_entry_is_only_changed_if_it_is_as_expected(h: &dyn Harness) {
    let store = h.open().await;
    let other = put(&*store, "other", b"x", Absent).await.unwrap();
    // Missing: any and absent go through.
    assert_eq!(mismatch(put(&*store, "k", b"1", Exact(other)).await), None);
    assert_eq!(mismatch(store.delete(&state_key("k"), Exact(other)).await), None);
    store.delete(&state_key("k"), Absent).await.unwrap();
    store.delete(&state_key("k"), Any).await.unwrap();
    let first = put(&*store, "k", b"1", Absent).await.unwrap();
    // There: any and its own revision go through.
    assert_eq!(mismatch(put(&*store, "k", b"2", Absent).await), Some(first));
    assert_eq!(mismatch(put(&*store, "k", b"2", Exact(other)).await), Some(first));
    assert_eq!(mismatch(store.delete(&state_key("k"), Absent).await), Some(first));
    let second = put(&*store, "k", b"2", Exact(first)).await.unwrap();
    assert_eq!(mismatch(put(&*store, "k", b"3", Exact(first)).await), Some(second));
    assert_eq!(mismatch(store.delete(&state_key("k"), Exact(first)).await), Some(second));
    assert_eq!(store.get(&state_key("k")).await.unwrap().unwrap().value, Bytes::from_static(b"2"));
    store.delete(&state_key("k"), Exact(second)).await.unwrap();
    assert_eq!(store.get(&state_key("other")).await.unwrap().unwrap().revision, other);
}

/// Every write gets a greater revision than all before it, of any key, also after entries were deleted or expired.
pub async fn revisions_never_come_again(h: &dyn Harness) {
    let store = h.open().await;
    let mut seen = Vec::new();
    for n in 0..5 {
        let name = format!("k{}", n % 2);
        seen.push(put(&*store, &name, b"x", Any).await.unwrap());
        store.delete(&state_key(&name), Any).await.unwrap();
        seen.push(put(&*store, &name, b"x", Absent).await.unwrap());
        store.delete(&state_key(&name), Any).await.unwrap();
        seen.push(store.put(&state_key("short"), Bytes::new(), Any, Some(Duration::ZERO)).await.unwrap());
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}

/// Of racing writers with the same expectation exactly one succeeds, through any instance.
pub async fn of_racing_writers_of_one_entry_exactly_one_wins(h: &dyn Harness) {
    let instances = [h.open().await, h.open().await];
    let mut expected = Absent;
    for round in 0..scaled(h, 20) {
        let outcomes = race(16, |task| {
            let store = instances[task % 2].clone();
            async move { put(&*store, "lease", format!("{task}").as_bytes(), expected).await.map(|won| (task, won)) }
        })
        .await;
        let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        let [(task, revision)] = winners[..] else { panic!("round {round}: {} winners", winners.len()) };
        let entry = instances[0].get(&state_key("lease")).await.unwrap().unwrap();
        assert_eq!((entry.value, entry.revision), (task.to_string().into(), *revision), "round {round}");
        expected = Exact(*revision);
    }
}

/// An entry with a time to live is gone when that has passed, for reads, lists and expectations; without one it stays.
pub async fn an_entry_expires_by_the_clock_of_the_store(h: &dyn Harness) {
    let store = h.open().await;
    let (short, long) = (Duration::from_millis(40), Duration::from_secs(3600));
    let lost = store.put(&state_key("e/short"), "x".into(), Absent, Some(short)).await.unwrap();
    store.put(&state_key("e/long"), "x".into(), Absent, Some(long)).await.unwrap();
    store.put(&state_key("e/longest"), "x".into(), Absent, Some(Duration::MAX)).await.unwrap();
    store.put(&state_key("e/renewed"), "x".into(), Absent, Some(short)).await.unwrap();
    store.put(&state_key("e/renewed"), "y".into(), Any, Some(long)).await.unwrap();
    store.put(&state_key("e/kept"), "x".into(), Absent, Some(short)).await.unwrap();
    store.put(&state_key("e/kept"), "y".into(), Any, None).await.unwrap();
    tokio::time::sleep(short * 3).await;
    assert_eq!(store.get(&state_key("e/short")).await.unwrap(), None);
    assert_eq!(names(&*store, "e/", None, 10).await, ["e/kept", "e/long", "e/longest", "e/renewed"]);
    assert_eq!(names(&*store, "e/", None, 3).await, ["e/kept", "e/long", "e/longest"]);
    assert_eq!(mismatch(put(&*store, "e/short", b"z", Exact(lost)).await), None);
    assert_eq!(mismatch(store.delete(&state_key("e/short"), Exact(lost)).await), None);
    let taken = put(&*store, "e/short", b"z", Absent).await.unwrap();
    assert!(taken > lost);
    tokio::time::sleep(short * 2).await;
    assert_eq!(store.get(&state_key("e/short")).await.unwrap().unwrap().revision, taken, "the old expiry is void");
}

/// Exactly the keys that start with the prefix are listed: no character has another meaning, and case matters.
pub async fn a_prefix_lists_exactly_the_keys_that_start_with_it(h: &dyn Harness) {
    let store = h.open().await;
    let keys = [
        "a",
        "a/",
        "a/1",
        "a/2",
        "a%",
        "a_",
        "ab",
        "A",
        "A/1",
        "a\\",
        "%",
        "%a",
        "_",
        "_a",
        "[a]",
        "*",
        "?",
        "'",
        "é",
        "e\u{301}",
        "\u{10ffff}",
        "\u{ff}",
        "z",
        "a b",
        " ",
        "-",
        "--",
        "a\u{10ffff}b",
    ];
    for key in keys {
        put(&*store, key, key.as_bytes(), Absent).await.unwrap();
    }
    let too_long = "a".repeat(2000);
    for prefix in keys.into_iter().chain(["", "a/1x", "none", "\0", "\u{10ffff}\u{10ffff}", &too_long]) {
        let mut expected: Vec<_> = keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
        expected.sort_unstable();
        let found = store.list(Namespace::USER, prefix, None, 100).await.unwrap();
        assert_eq!(found.iter().map(|(key, _)| key.name()).collect::<Vec<_>>(), expected, "prefix {prefix:?}");
        assert!(found.iter().all(|(key, entry)| entry.value == key.name().as_bytes()), "prefix {prefix:?}");
    }
}

/// Lists come in byte order, as many as wanted, and go on behind a key whether that exists or not.
pub async fn a_list_goes_on_behind_a_key(h: &dyn Harness) {
    let store = h.open().await;
    for n in (0..25).rev() {
        put(&*store, &format!("p/{n:02}"), b"", Absent).await.unwrap();
    }
    put(&*store, "o", b"", Absent).await.unwrap();
    put(&*store, "q", b"", Absent).await.unwrap();
    let all: Vec<String> = (0..25).map(|n| format!("p/{n:02}")).collect();
    let mut found = Vec::new();
    while let page = names(&*store, "p/", found.last().map(String::as_str), 10).await
        && !page.is_empty()
    {
        assert!(page.len() == 10 || page.len() == 5);
        found.extend(page);
    }
    assert_eq!(found, all);
    assert_eq!(names(&*store, "p/", Some("p/03x"), 2).await, ["p/04", "p/05"]);
    assert_eq!(names(&*store, "p/", Some("a"), 1).await, ["p/00"], "behind a key before the prefix");
    assert_eq!(names(&*store, "p/", Some("z"), 1).await, [""; 0], "behind a key after the prefix");
    assert_eq!(names(&*store, "p/", None, 0).await, [""; 0]);
    assert_eq!(names(&*store, "p/", None, usize::MAX).await, all);
}

/// An instance reads the entries that another one wrote.
pub async fn instances_share_their_state(h: &dyn Harness) {
    let (one, other) = (h.open().await, h.open().await);
    let first = put(&*one, "k", b"1", Absent).await.unwrap();
    assert_eq!(other.get(&state_key("k")).await.unwrap().unwrap().revision, first);
    let second = put(&*other, "k", b"2", Exact(first)).await.unwrap();
    assert!(second > first);
    assert_eq!(mismatch(put(&*one, "k", b"3", Exact(first)).await), Some(second));
}

/// Entries, and the count of revisions, survive closing and opening the store.
pub async fn entries_survive_reopening(h: &dyn Harness) {
    if !h.is_durable() {
        return;
    }
    let store = h.open().await;
    put(&*store, "kept", b"1", Absent).await.unwrap();
    store.put(&state_key("short"), "x".into(), Absent, Some(Duration::from_millis(20))).await.unwrap();
    let last = put(&*store, "deleted", b"1", Absent).await.unwrap();
    store.delete(&state_key("deleted"), Any).await.unwrap();
    store.close().await;
    drop(store);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let store = h.open().await;
    assert_eq!(names(&*store, "", None, 10).await, ["kept"]);
    assert!(put(&*store, "deleted", b"2", Absent).await.unwrap() > last);
}

async fn put(store: &dyn Store, key: &str, value: &[u8], expected: ExpectedRevision) -> Result<Revision, StateError> {
    store.put(&state_key(key), Bytes::copy_from_slice(value), expected, None).await
}

async fn names(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let after = after.map(state_key);
    let found = StateStore::list(store, Namespace::USER, prefix, after.as_ref(), limit).await.unwrap();
    found.into_iter().map(|(key, _)| key.name().to_owned()).collect()
}

#[track_caller]
fn mismatch<T: std::fmt::Debug>(outcome: Result<T, StateError>) -> Option<Revision> {
    match outcome {
        Err(StateError::Mismatch { actual, .. }) => actual,
        other => panic!("expected a mismatch, got {other:?}"),
    }
}

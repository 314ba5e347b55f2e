//! Forgetting idempotency keys: the policy of an application that does not keep them for ever.

use std::time::Duration;

use recount_core::ExpectedVersion::{Any, NoStream};
use recount_core::{Append, Appended, Idempotency, KeyedSlice, Store, StreamAppend};

use super::Harness;
use super::support::*;

/// An age that no key of a test reaches.
const HOUR: Duration = Duration::from_secs(3600);
/// The difference in age of old keys and young ones.
const GAP: Duration = Duration::from_millis(400);
const MANY: usize = 1000;

fn request(name: &str) -> Append {
    Append::to(stream(name), Any, vec![typed("a"), typed("b")]).idempotency_key(key(name))
}

async fn append(store: &dyn Store, name: &str) -> Appended {
    store.append(request(name)).await.unwrap()
}

async fn known(store: &dyn Store, names: &[&str]) -> Vec<bool> {
    let mut known = Vec::new();
    for name in names {
        known.push(find(store, &key(name)).await.is_some());
    }
    known
}

/// Keys that are older than the retention go, and younger ones stay with their outcomes.
pub async fn old_keys_are_forgotten_and_young_ones_stay(h: &dyn Harness) {
    let store = h.open().await;
    for age in [Duration::ZERO, HOUR, Duration::MAX] {
        assert_eq!(store.forget_keys(age, MANY).await.unwrap(), 0, "an empty store knows no keys");
    }
    append(&*store, "old-1").await;
    append(&*store, "old-2").await;
    tokio::time::sleep(GAP).await;
    let young = append(&*store, "young").await;
    for age in [HOUR, Duration::MAX] {
        assert_eq!(store.forget_keys(age, MANY).await.unwrap(), 0, "{age:?}");
    }
    assert_eq!(known(&*store, &["old-1", "old-2", "young"]).await, [true, true, true]);
    assert_eq!(store.forget_keys(GAP, MANY).await.unwrap(), 2);
    assert_eq!(known(&*store, &["old-1", "old-2", "young"]).await, [false, false, true]);
    assert_eq!(find(&*store, &key("young")).await, Some(young.clone()));
    assert_eq!(append(&*store, "young").await, Appended { repeated: true, ..young });
    assert_eq!(store.forget_keys(Duration::ZERO, MANY).await.unwrap(), 1);
    assert_eq!(known(&*store, &["young"]).await, [false]);
}

/// A call forgets at most as many keys as it was asked to, the oldest first.
pub async fn no_more_keys_are_forgotten_than_asked(h: &dyn Harness) {
    let store = h.open().await;
    let names: Vec<_> = (0..7).map(|n| format!("k{}", 9 - n)).collect();
    for name in &names {
        append(&*store, name).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(store.forget_keys(Duration::ZERO, 0).await.unwrap(), 0);
    assert_eq!(store.forget_keys(Duration::ZERO, 3).await.unwrap(), 3);
    assert_eq!(known(&*store, &names).await, [false, false, false, true, true, true, true]);
    assert_eq!(store.forget_keys(Duration::ZERO, 3).await.unwrap(), 3);
    assert_eq!(store.forget_keys(Duration::ZERO, 3).await.unwrap(), 1);
    assert_eq!(store.forget_keys(Duration::ZERO, usize::MAX).await.unwrap(), 0);
}

/// After its key was forgotten a request is a new one, with the same content or another, and is known from then on.
pub async fn a_forgotten_key_can_be_used_anew(h: &dyn Harness) {
    let store = h.open().await;
    let first = append(&*store, "k").await;
    assert_eq!(store.forget_keys(Duration::ZERO, MANY).await.unwrap(), 1);
    let second = append(&*store, "k").await;
    assert!(!second.repeated);
    assert!(second.position > first.position);
    assert_eq!(append(&*store, "k").await, Appended { repeated: true, ..second });
    assert_eq!(store.forget_keys(HOUR, MANY).await.unwrap(), 0, "the age counts from the second use");
    assert_eq!(store.forget_keys(Duration::ZERO, MANY).await.unwrap(), 1);
    let other = Append::to(stream("other"), NoStream, vec![typed("c")]).idempotency_key(key("k"));
    assert!(!store.append(other).await.unwrap().repeated);
    assert_eq!(everything(&*store).await.len(), 5);
}

/// The requests of a shared append and outcomes without events go as others do.
pub async fn the_keys_of_a_shared_append_are_forgotten(h: &dyn Harness) {
    let store = h.open().await;
    let streams: Vec<_> =
        ["a", "b"].map(|name| StreamAppend { stream: stream(name), expected: Any, events: vec![typed("a")] }).into();
    let slices = (0..2).map(|index| {
        let idempotency = Idempotency::new(key(&format!("shared-{index}")), b"content");
        KeyedSlice { idempotency, stream: index, events: 0..1 }
    });
    let shared = Append { streams, slices: slices.collect(), ..Append::default() };
    store.append(shared.clone()).await.unwrap();
    let nothing = Idempotency::new(key("nothing"), b"content");
    store.append(Append { idempotency: Some(nothing), ..Append::default() }).await.unwrap();
    let names = ["shared-0", "shared-1", "nothing"];
    assert_eq!(known(&*store, &names).await, [true, true, true]);
    assert_eq!(store.forget_keys(Duration::ZERO, MANY).await.unwrap(), 3);
    assert_eq!(known(&*store, &names).await, [false, false, false]);
    let mut again = shared;
    for event in again.streams.iter_mut().flat_map(|stream| &mut stream.events) {
        *event = typed("a");
    }
    store.append(again).await.unwrap();
    assert_eq!(known(&*store, &names).await, [true, true, false]);
}

/// Forgetting keys changes no event, also of streams that were archived.
pub async fn events_stay_when_their_keys_are_forgotten(h: &dyn Harness) {
    let store = h.open().await;
    append(&*store, "open").await;
    append(&*store, "archived").await;
    store.archive(&stream("archived")).await.unwrap();
    let (before, head) = (everything(&*store).await, store.head().await.unwrap());
    assert_eq!(store.forget_keys(Duration::ZERO, MANY).await.unwrap(), 2);
    assert_eq!(everything(&*store).await, before);
    assert_eq!(store.head().await.unwrap(), head);
    assert!(append(&*store, "open").await.position > head);
    violations(store.append(request("archived")).await);
}

/// Several instances forget keys while several append: each call of an append ends as one of the first or of a repetition, and
/// the calls together forget each key once.
pub async fn keys_are_forgotten_while_appends_go_on(h: &dyn Harness) {
    let instances = [h.open().await, h.open().await];
    let each = scaled(h, 40);
    let counts = race(8, |task| {
        let store = instances[task % 2].clone();
        async move {
            let mut count = (0, 0);
            for n in 0..each {
                if task < 2 {
                    count.1 += store.forget_keys(Duration::ZERO, 3).await.unwrap();
                } else {
                    // Two tasks share each key.
                    let outcome = append(&*store, &format!("k-{}-{n}", task / 2)).await;
                    count.0 += u64::from(!outcome.repeated);
                }
            }
            count
        }
    })
    .await;
    let written: u64 = counts.iter().map(|(written, _)| written).sum();
    let mut forgotten: u64 = counts.iter().map(|(_, forgotten)| forgotten).sum();
    assert!(written >= 3 * each as u64, "{written}");
    assert_eq!(everything(&*instances[0]).await.len() as u64, 2 * written, "a repetition writes nothing");
    loop {
        match instances[1].forget_keys(Duration::ZERO, 5).await.unwrap() {
            0 => break,
            count => forgotten += count,
        }
    }
    assert_eq!(forgotten, written);
}

/// A forgotten key is not known again, and ages go on, after the store was closed and opened again.
pub async fn forgotten_keys_stay_forgotten_after_reopening(h: &dyn Harness) {
    if !h.is_durable() {
        return;
    }
    let store = h.open().await;
    append(&*store, "k").await;
    assert_eq!(store.forget_keys(Duration::ZERO, MANY).await.unwrap(), 1);
    append(&*store, "old").await;
    store.close().await;
    drop(store);
    let store = h.open().await;
    assert_eq!(known(&*store, &["k", "old"]).await, [false, true]);
    tokio::time::sleep(GAP).await;
    assert_eq!(store.forget_keys(GAP, MANY).await.unwrap(), 1);
    store.close().await;
    assert!(store.forget_keys(Duration::ZERO, MANY).await.is_err(), "the store is closed");
}

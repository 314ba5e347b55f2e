//! Concurrent writers: of appends that exclude each other one wins, other appends never conflict, none is half done.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use recount_core::ExpectedVersion::Any;
use recount_core::{
    Append, AppendError, Direction, EventData, ExpectedVersion, Query, ReadAll, RecordedEvent, StreamAppend,
    StreamVersion, Violation,
};

use super::Harness;
use super::support::*;

const WRITERS: usize = 24;

/// Of appends that expect the same version exactly one wins; the others learn stream, expected and actual version
/// and the event that they had not seen.
pub async fn of_appends_expecting_the_same_version_exactly_one_wins(h: &dyn Harness) {
    let instances = instances(h).await;
    let to = stream("s");
    for version in 0..scaled(h, 20) as u64 {
        let outcomes = race(WRITERS, |task| {
            let (store, to) = (instances[task % 2].clone(), to.clone());
            async move { append(&*store, &to, exact(version), events(1)).await }
        })
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| won(outcome)).count(), 1, "version {version}");
        let all = read(&*instances[0], &to).await;
        assert_eq!(all.len() as u64, version + 1);
        let newer = all[version as usize..].to_vec();
        let (expected, actual) = (exact(version), StreamVersion::new(version + 1));
        let lost = Violation::Version { stream: to.clone(), expected, actual, newer };
        for outcome in outcomes.into_iter().filter(Result::is_err) {
            assert_eq!(violations(outcome), std::slice::from_ref(&lost));
        }
    }
}

/// Appends that expect nothing all land, each in one piece, and versions have no hole.
pub async fn appends_expecting_any_version_all_land(h: &dyn Harness) {
    let instances = instances(h).await;
    let rounds = scaled(h, 20);
    race(WRITERS, |task| {
        let store = instances[task % 2].clone();
        async move {
            for round in 0..rounds {
                let batch = (0..3).map(|n| numbered(task, round, n)).collect();
                append(&*store, &stream("s"), Any, batch).await.unwrap();
            }
        }
    })
    .await;
    let all = read(&*instances[0], &stream("s")).await;
    assert_eq!(versions(&all), (1..=(WRITERS * rounds * 3) as u64).collect::<Vec<_>>());
    assert!(positions(&all).is_sorted_by(|a, b| a < b));
    for batch in all.chunks(3) {
        let whole: Vec<_> = batch.iter().map(number).collect();
        assert_eq!(whole, [0, 1, 2].map(|n| [whole[0][0], whole[0][1], n]));
    }
}

/// The events that one append writes to several streams become visible at once, in either direction of reading.
pub async fn several_streams_become_visible_at_once(h: &dyn Harness) {
    let instances = instances(h).await;
    let rounds = scaled(h, 40);
    let reader = instances[1].clone();
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let reading = tokio::spawn(async move {
        for round in 0.. {
            let last = stop.load(Ordering::SeqCst);
            let to = reader.head().await.unwrap();
            let direction = [Direction::Forward, Direction::Backward][round % 2];
            let mut pairs: HashMap<EventParts, usize> = HashMap::new();
            for event in collect_all(&*reader, ReadAll { to, direction, ..ReadAll::new(Query::all()) }).await {
                *pairs.entry(number(&event)).or_default() += 1;
            }
            let half = pairs.iter().find(|(_, count)| **count != 2);
            assert_eq!(half, None, "half an append was visible up to {to}");
            if last {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
    race(WRITERS / 2, |task| {
        let store = instances[task % 2].clone();
        async move {
            for round in 0..rounds {
                // In either order: stores that lock streams must not lock each other out.
                let mut names = [format!("a{}", round % 3), format!("b{}", task % 3)];
                names.rotate_left((task + round) % 2);
                let streams = names.iter().map(|name| StreamAppend {
                    stream: stream(name),
                    expected: Any,
                    events: vec![numbered(task, round, 0)],
                });
                store.append(Append { streams: streams.collect(), ..Append::default() }).await.unwrap();
            }
        }
    })
    .await;
    done.store(true, Ordering::SeqCst);
    reading.await.unwrap();
}

/// An append happened entirely or not at all if its future is dropped; a retry with its key makes it happen once, and the store goes on.
pub async fn a_cancelled_append_is_whole_or_absent(h: &dyn Harness) {
    let instances = instances(h).await;
    let mut random = random();
    let rounds = scaled(h, 100);
    let request = |round: usize| {
        let batch = (0..20).map(|n| numbered(0, round, n)).collect();
        Append::to(stream("s"), Any, batch).idempotency_key(key(&round.to_string()))
    };
    for round in 0..rounds {
        let store = instances[round % 2].clone();
        let first = request(round);
        let task = tokio::spawn(async move { store.append(first).await });
        match random.u64(0..4) {
            0 => tokio::task::yield_now().await,
            _ => tokio::time::sleep(Duration::from_micros(random.u64(0..3000))).await,
        }
        task.abort();
        let _ = task.await;
        if round % 3 == 0 {
            instances[(round + 1) % 2].append(request(round)).await.unwrap();
        }
    }
    // Whether it happened or not: asking for all of them again leaves each of them there, once and whole.
    for round in 0..rounds {
        instances[0].append(request(round)).await.unwrap();
    }
    let all = read(&*instances[1], &stream("s")).await;
    assert_eq!(versions(&all), (1..=rounds as u64 * 20).collect::<Vec<_>>());
    for batch in all.chunks(20) {
        let whole: Vec<_> = batch.iter().map(number).collect();
        assert_eq!(whole, (0..20).map(|n| [0, whole[0][1], n]).collect::<Vec<_>>());
    }
}

/// Of appends of the same event, without a key, exactly one wins.
pub async fn of_appends_of_the_same_event_exactly_one_wins(h: &dyn Harness) {
    let instances = instances(h).await;
    for round in 0..scaled(h, 10) {
        let same = event();
        let outcomes = race(WRITERS, |task| {
            let (store, same) = (instances[task % 2].clone(), same.clone());
            async move { append(&*store, &stream(&format!("{}", task % 3)), Any, vec![event(), same]).await }
        })
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "round {round}");
        for outcome in outcomes.into_iter().filter(Result::is_err) {
            assert!(matches!(outcome, Err(AppendError::DuplicateEvent { id }) if id == same.id), "{outcome:?}");
        }
        assert_eq!(everything(&*instances[0]).await.len(), (round + 1) * 2);
    }
}

/// Once archiving is acknowledged no append lands any more, not even one that was under way.
pub async fn no_append_lands_after_its_stream_was_archived(h: &dyn Harness) {
    let instances = instances(h).await;
    for round in 0..scaled(h, 10) {
        let to = stream(&round.to_string());
        append(&*instances[0], &to, Any, events(1)).await.unwrap();
        let lengths = race(8, |task| {
            let (store, to) = (instances[task % 2].clone(), to.clone());
            async move {
                if task == 0 {
                    store.archive(&to).await.unwrap();
                    return read(&*store, &to).await.len();
                }
                while won(&append(&*store, &to, Any, events(1)).await) {}
                0
            }
        })
        .await;
        assert_eq!(read(&*instances[1], &to).await.len(), lengths[0], "round {round}");
    }
}

/// Writers of one hot stream all get through if they decide again on the events of a conflict.
pub async fn writers_of_a_hot_stream_all_get_through(h: &dyn Harness) {
    let instances = instances(h).await;
    let rounds = scaled(h, 10);
    race(WRITERS, |task| {
        let store = instances[task % 2].clone();
        async move {
            let mut seen: Vec<RecordedEvent> = Vec::new();
            for round in 0..rounds {
                loop {
                    let expected = ExpectedVersion::Exact(StreamVersion::new(seen.len() as u64));
                    match append(&*store, &stream("hot"), expected, vec![numbered(task, round, 0)]).await {
                        Ok(_) => break,
                        Err(AppendError::Conflict(conflict)) => {
                            let [Violation::Version { newer, .. }] = &conflict.violations[..] else {
                                panic!("{conflict}")
                            };
                            assert!(!newer.is_empty(), "a justified conflict");
                            seen.extend(newer.iter().cloned());
                            assert_eq!(versions(&seen), (1..=seen.len() as u64).collect::<Vec<_>>());
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
                seen = read(&*store, &stream("hot")).await;
            }
        }
    })
    .await;
    assert_eq!(read(&*instances[0], &stream("hot")).await.len(), WRITERS * rounds);
}

type EventParts = [usize; 3];

fn numbered(task: usize, round: usize, n: usize) -> EventData {
    EventData { payload: format!("{task} {round} {n}").into(), ..typed("numbered") }
}

fn number(event: &RecordedEvent) -> EventParts {
    let text = String::from_utf8_lossy(&event.data.payload);
    let mut parts = text.split(' ').map(|part| part.parse().unwrap());
    [(); 3].map(|()| parts.next().unwrap())
}

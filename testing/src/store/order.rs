//! The order that readers see: no event ever appears behind one that was already read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use recount_core::ExpectedVersion::{Any, NoStream};
use recount_core::{Append, Position, Query, ReadAll, RecordedEvent, Store};

use super::Harness;
use super::support::*;

const WRITERS: usize = 24;

/// While writers append at random moments, conflict and are cancelled, a reader in each of two instances that follows
/// the head sees every event once, in order, and none behind its place; so does one that only wants some of them.
pub async fn a_reader_that_follows_the_head_misses_nothing(h: &dyn Harness) {
    let instances = instances(h).await;
    let mut random = random();
    let done = Arc::new(AtomicBool::new(false));
    let some = Query::tags([tag("some")]);
    let readers: Vec<_> = instances
        .iter()
        .flat_map(|store| [Query::all(), some.clone()].map(|query| (store.clone(), query)))
        .map(|(store, query)| tokio::spawn(follow(store, query, done.clone())))
        .collect();
    let seed = random.u64(..);
    let rounds = scaled(h, 100);
    let acknowledged = race(WRITERS, |task| {
        let store = instances[task % 2].clone();
        let random = fastrand::Rng::with_seed(seed + task as u64);
        write(store, task, rounds, random)
    })
    .await;
    let head = instances[0].head().await.unwrap();
    done.store(true, Ordering::SeqCst);
    let mut seen_by_all = Vec::new();
    for reader in readers {
        seen_by_all.push(reader.await.unwrap());
    }
    // A cancelled append may still have landed behind the last event that a reader saw.
    let log = everything(&*instances[0]).await;
    for (n, seen) in seen_by_all.into_iter().enumerate() {
        let last = seen.last().map_or(head, |event| event.position.max(head));
        let wanted = |event: &&RecordedEvent| event.position <= last && (n % 2 == 0 || some.matches(event));
        let expected: Vec<_> = log.iter().filter(wanted).cloned().collect();
        let missing = expected
            .iter()
            .filter(|event| seen.binary_search_by_key(&event.position, |seen| seen.position).is_err())
            .count();
        assert!(seen == expected, "reader {n} saw {} of {} events, {missing} missing", seen.len(), expected.len());
    }
    assert!(log.len() >= acknowledged.iter().sum(), "acknowledged events are missing");
}

/// Writes at random moments and returns how many events were acknowledged.
async fn write(store: Arc<dyn Store>, task: usize, rounds: usize, mut random: fastrand::Rng) -> usize {
    let mut acknowledged = 0;
    for round in 0..rounds {
        let count = random.usize(1..6);
        let mut batch = events(count);
        batch[0].tags = vec![tag("some"), tag(&format!("writer:{task}"))];
        let to = stream(&random.u8(0..8).to_string());
        match random.u8(0..10) {
            // Cancelled somewhere on the way.
            0 => {
                let store = store.clone();
                let task = tokio::spawn(async move { store.append(Append::to(to, Any, batch)).await });
                tokio::time::sleep(Duration::from_micros(random.u64(0..500))).await;
                task.abort();
            }
            // Most likely a conflict.
            1 => acknowledged += if won(&append(&*store, &to, NoStream, batch).await) { count } else { 0 },
            // A conditional append that is alone with its condition.
            2 => {
                let condition = unless(Query::tags([tag(&format!("none:{task}:{round}"))]), Position::START);
                store.append(Append::to(to, Any, batch).condition(condition)).await.unwrap();
                acknowledged += count;
            }
            _ => {
                append(&*store, &to, Any, batch).await.unwrap();
                acknowledged += count;
            }
        }
        if random.u8(0..4) == 0 {
            tokio::time::sleep(Duration::from_micros(random.u64(0..2000))).await;
        }
    }
    acknowledged
}

/// Reads to the head again and again, woken by the store, from where it got to.
async fn follow(store: Arc<dyn Store>, query: Query, done: Arc<AtomicBool>) -> Vec<RecordedEvent> {
    let mut watch = store.watch();
    let mut seen: Vec<RecordedEvent> = Vec::new();
    loop {
        let last_time = done.load(Ordering::SeqCst);
        watch.borrow_and_update();
        let after = seen.last().map_or(Position::START, |event| event.position);
        let mut read = store.read_all(ReadAll { after, ..ReadAll::new(query.clone()) });
        while let Some(event) = read.next().await {
            let event = event.unwrap();
            let last = seen.last().map_or(Position::START, |event| event.position);
            assert!(event.position > last, "{} came after {last}", event.position);
            seen.push(event);
        }
        if last_time {
            return seen;
        }
        let _ = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
    }
}

/// The head never passes an event that is not yet readable: the events read up to it stay all events up to it.
pub async fn everything_up_to_the_head_is_readable(h: &dyn Harness) {
    let instances = instances(h).await;
    let rounds = scaled(h, 50);
    let reader = instances[1].clone();
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let reading = tokio::spawn(async move {
        let mut reads = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let to = reader.head().await.unwrap();
            let up_to = collect_all(&*reader, ReadAll { to, ..ReadAll::new(Query::all()) }).await;
            reads.push((to, positions(&up_to)));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        reads
    });
    race(WRITERS, |task| {
        let store = instances[task % 2].clone();
        async move {
            for round in 0..rounds {
                append(&*store, &stream(&task.to_string()), Any, events(round % 3 + 1)).await.unwrap();
            }
        }
    })
    .await;
    done.store(true, Ordering::SeqCst);
    let all = positions(&everything(&*instances[0]).await);
    let mut last = Position::START;
    for (to, seen) in reading.await.unwrap() {
        assert!(to >= last, "the head went back from {last} to {to}");
        last = to;
        let now: Vec<_> = all.iter().copied().filter(|position| *position <= to.get()).collect();
        assert!(seen == now, "{} events up to {to} were readable, later {}", seen.len(), now.len());
        assert_eq!(seen.last().copied().unwrap_or(0), to.get(), "the head is the position of an event");
    }
}

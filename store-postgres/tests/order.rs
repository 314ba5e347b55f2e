//! The order that readers see, whatever others do to the database meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Fresh, append, execute_on, read_all, stream};
use futures_util::StreamExt;
use recount_core::{
    Append, AppendError, EventStore, ExpectedVersion, Position, Query, ReadAll, RecordedEvent, StoreError,
};
use recount_store_postgres::PostgresStore;

const WRITERS: usize = 24;

/// Follows the head until told to stop, and then to the end.
async fn follow(store: PostgresStore, done: Arc<AtomicBool>) -> Vec<RecordedEvent> {
    let mut watch = store.watch();
    let mut seen: Vec<RecordedEvent> = Vec::new();
    loop {
        let last_time = done.load(Ordering::SeqCst);
        watch.borrow_and_update();
        let after = seen.last().map_or(Position::START, |event| event.position);
        let mut read = store.read_all(ReadAll { after, ..ReadAll::new(Query::all()) });
        while let Some(event) = read.next().await {
            // A reader whose connection was killed begins again where it got to.
            let Ok(event) = event else { break };
            assert!(event.position > after && seen.last().is_none_or(|last| last.position < event.position));
            seen.push(event);
        }
        if last_time {
            return seen;
        }
        let _ = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
    }
}

async fn write(store: PostgresStore, task: usize, rounds: usize, mut random: fastrand::Rng) -> usize {
    let mut acknowledged = 0;
    for _ in 0..rounds {
        let count = random.usize(1..6);
        let to = format!("s{}", random.u8(0..32));
        match random.u8(0..10) {
            // Most likely a conflict.
            0 => {
                let request = Append::to(stream(&to), ExpectedVersion::NoStream, common::events(count));
                match store.append(request).await {
                    Ok(_) => acknowledged += count,
                    Err(AppendError::Conflict(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            // Cancelled somewhere on the way.
            1 => {
                let store = store.clone();
                let task = tokio::spawn(async move { store.append(append(&to, count)).await });
                tokio::time::sleep(Duration::from_micros(random.u64(0..3000))).await;
                task.abort();
            }
            _ => {
                store.append(append(&to, count)).await.unwrap_or_else(|error| panic!("writer {task}: {error:?}"));
                acknowledged += count;
            }
        }
        if random.u8(0..4) == 0 {
            tokio::time::sleep(Duration::from_micros(random.u64(0..2000))).await;
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_missed_beside_idle_transactions_foreign_locks_rollbacks_and_killed_backends() {
    let fresh = Fresh::new().await;
    let stores = [fresh.store().await, fresh.store().await];
    // Somebody forgot a transaction, which even wrote something.
    let mut idle = fresh.shell().await;
    execute_on(&mut idle, "CREATE TABLE other (n int); BEGIN; INSERT INTO other VALUES (1)").await.unwrap();
    // Somebody else uses advisory locks, of both kinds.
    let mut locks = fresh.shell().await;
    let foreign = "SELECT pg_advisory_lock(n), pg_advisory_lock_shared(n, n) FROM generate_series(0, 50) AS n";
    execute_on(&mut locks, foreign).await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let readers = stores.clone().map(|store| tokio::spawn(follow(store, done.clone())));
    let seed = fastrand::u64(..);
    println!("seed: {seed}");
    let writers: Vec<_> = (0..WRITERS)
        .map(|task| {
            let random = fastrand::Rng::with_seed(seed.wrapping_add(task as u64));
            tokio::spawn(write(stores[task % 2].clone(), task, 60, random))
        })
        .collect();
    // Appends that draw positions and then come to nothing, and backends that are killed.
    let stop = done.clone();
    let mut shell = fresh.shell().await;
    let trouble = tokio::spawn(async move {
        let mut round = 0;
        while !stop.load(Ordering::SeqCst) {
            round += 1;
            let undone = "BEGIN; SELECT pg_advisory_xact_lock_shared(hashtext('x')); ROLLBACK";
            execute_on(&mut shell, undone).await.unwrap();
            if round % 4 == 0 {
                let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'recount' ORDER BY random() LIMIT 1";
                execute_on(&mut shell, kill).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut acknowledged = 0;
    for writer in writers {
        acknowledged += writer.await.unwrap();
    }
    let started = Instant::now();
    let head = loop {
        match stores[0].head().await {
            Ok(head) => break head,
            Err(error) => assert!(error.is_transient() && started.elapsed() < Duration::from_secs(10), "{error:?}"),
        }
    };
    done.store(true, Ordering::SeqCst);
    trouble.await.unwrap();
    let mut seen_by_all = Vec::new();
    for reader in readers {
        seen_by_all.push(reader.await.unwrap());
    }
    let log = read_all(&stores[1]).await;
    assert!(log.len() >= acknowledged, "{} events of {acknowledged} acknowledged", log.len());
    for seen in seen_by_all {
        let last = seen.last().map_or(head, |event| event.position.max(head));
        let expected: Vec<_> = log.iter().filter(|event| event.position <= last).cloned().collect();
        assert!(seen == expected, "{} of {} events were seen", seen.len(), expected.len());
    }
    for n in 0..32 {
        let versions: Vec<u64> =
            log.iter().filter(|event| event.stream == stream(&format!("s{n}"))).map(|e| e.version.get()).collect();
        assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_append_holds_readers_back_and_a_dead_one_does_not() {
    let fresh = Fresh::new().await;
    let [store, other] = [fresh.store().await, fresh.store().await];
    store.append(append("a", 2)).await.unwrap();
    let before = store.head().await.unwrap();
    // An append that has drawn its positions and doesn't commit.
    let mut slow = fresh.shell().await;
    execute_on(&mut slow, "BEGIN").await.unwrap();
    let open = "DO $$ DECLARE last bigint; BEGIN
        SELECT last_value INTO last FROM recount.position_sequence;
        PERFORM pg_advisory_xact_lock_shared((SELECT substring(pg_get_functiondef('recount.safe_head'::regproc)
            FROM 'classid = ([0-9]+)')::int), (last & 2147483647)::int);
        PERFORM nextval('recount.position_sequence');
    END $$";
    execute_on(&mut slow, open).await.unwrap();
    let appended = store.append(append("b", 1)).await.unwrap();
    assert_eq!(appended.position.get(), before.get() + 2);
    assert_eq!(other.head().await.unwrap(), before);
    assert_eq!(read_all(&other).await.len(), 2);
    assert_eq!(common::read(&other, "b").await.len(), 1, "streams are read to their end");
    let mut watch = other.watch();
    execute_on(&mut slow, "ROLLBACK").await.unwrap();
    let reached = tokio::time::timeout(Duration::from_secs(2), watch.wait_for(|head| *head >= appended.position));
    reached.await.expect("readers go on soon").unwrap();
    assert_eq!(read_all(&other).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_positions_wrap_without_harm() {
    let fresh = Fresh::new().await;
    let stores = [fresh.store().await, fresh.store().await];
    for start in [(1_i64 << 31) - 20, (1 << 32) - 20, i64::MAX - 400] {
        fresh.execute(&format!("SELECT setval('recount.position_sequence', {start})")).await.unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn(follow(stores[1].clone(), done.clone()));
        let writers: Vec<_> = (0..8)
            .map(|task| {
                let store = stores[task % 2].clone();
                tokio::spawn(async move {
                    for _ in 0..10 {
                        store.append(append(&task.to_string(), 1)).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        done.store(true, Ordering::SeqCst);
        assert!(reader.await.unwrap() == read_all(&stores[0]).await, "from {start}");
    }
    assert_eq!(read_all(&stores[0]).await.len(), 240);
    // No number is left in the end.
    let outcome = stores[0].append(append("last", 1000)).await;
    assert!(matches!(outcome, Err(AppendError::Store(StoreError::Exhausted { .. }))), "{outcome:?}");
}

/// An append that looked at the sequence takes its lock only after others drew positions and were seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_lock_does_not_draw_readers_back() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let head = store.append(append("s", 3)).await.unwrap().position;
    assert_eq!(store.head().await.unwrap(), head);
    let mut late = fresh.shell().await;
    execute_on(&mut late, "BEGIN").await.unwrap();
    let locked = "DO $$ BEGIN
        PERFORM pg_advisory_xact_lock_shared((SELECT substring(pg_get_functiondef('recount.safe_head'::regproc)
            FROM 'classid = ([0-9]+)')::int), 1);
    END $$";
    execute_on(&mut late, locked).await.unwrap();
    assert_eq!(fresh.number("SELECT recount.safe_head()").await, 1);
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(read_all(&store).await.len(), 3, "what was seen once is there for every later reader");
}

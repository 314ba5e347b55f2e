//! Processes that are killed while they write, and processes that share a file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{append, read_all, stream};
use recount_core::{AppendError, EventStore, ExpectedVersion, StoreError};
use recount_store_sqlite::SqliteStore;
use tempfile::TempDir;

const CHILD: &str = "RECOUNT_TEST_CHILD";

/// This test program once more, as a process that runs only `child` on this file.
fn spawn(path: &Path, task: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .env("RECOUNT_TEST_TASK", task)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone has killed this process or is about to.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// What the spawned processes do; nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = SqliteStore::open(Path::new(&path)).await.unwrap();
    match std::env::var("RECOUNT_TEST_TASK").unwrap().as_str() {
        "write" => {
            let writers = (0..8).map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let id = writer.to_string();
                    for _ in 0..u64::MAX {
                        // Each append goes to two streams, so that half an append would show.
                        let count = fastrand::usize(1..=100);
                        let mut both = append(&id, count);
                        let mirror = append(&format!("mirror-{id}"), count);
                        both.streams.extend(mirror.streams);
                        let appended = store.append(both).await.unwrap();
                        say(&format!("acknowledged {id} {}", appended.streams[0].version));
                    }
                })
            });
            for writer in writers.collect::<Vec<_>>() {
                writer.await.unwrap();
            }
        }
        "append" => {
            store.append(append("from-child", 1)).await.unwrap();
            say("done");
            std::thread::sleep(Duration::from_secs(60));
        }
        other => panic!("what is {other}?"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_writers_lose_and_tear_nothing() {
    let seed =
        std::env::var("RECOUNT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed: RECOUNT_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let mut acknowledged: HashMap<String, u64> = HashMap::new();
    for round in 0..20 {
        let mut child = spawn(&path, "write");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acks = random.usize(1..60);
        let delay = Duration::from_micros(random.u64(0..20_000));
        let mut seen = 0;
        for line in lines {
            let line = line.unwrap();
            let Some(rest) = line.split_once("acknowledged ").map(|(_, rest)| rest) else { continue };
            let (id, version) = rest.split_once(' ').unwrap();
            acknowledged.insert(id.to_owned(), version.parse().unwrap());
            seen += 1;
            if seen == acks {
                std::thread::sleep(delay);
                // SIGKILL. What the pipe still holds was acknowledged as well, and is read before it ends.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        for (id, version) in &acknowledged {
            let events = common::read(&store, id).await;
            assert!(events.len() as u64 >= *version, "round {round}: stream {id} lost events");
            let versions: Vec<_> = events.iter().map(|event| event.version.get()).collect();
            assert!(versions.iter().copied().eq(1..=versions.len() as u64), "round {round}: stream {id} has holes");
            let mirror = common::read(&store, &format!("mirror-{id}")).await;
            assert_eq!(mirror.len(), events.len(), "round {round}: stream {id} is torn");
        }
        store.close().await;
    }
    assert!(acknowledged.len() > 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_is_seen_at_once_and_does_not_disturb() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::builder(&path).poll(Duration::from_secs(3600)).open().await.unwrap();
    let first = store.append(append("here", 1)).await.unwrap();
    let mut watch = store.watch();
    watch.mark_unchanged();
    let mut child = spawn(&path, "append");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("done") {}
    // The poll is an hour away: only a push can tell.
    tokio::time::timeout(Duration::from_secs(20), watch.wait_for(|head| *head > first.position))
        .await
        .unwrap()
        .unwrap();
    // What this instance knew of heads and positions is no longer true.
    let mut next = append("from-child", 1);
    next.streams[0].expected = ExpectedVersion::Exact(recount_core::StreamVersion::new(1));
    assert_eq!(store.append(next).await.unwrap().position.get(), 3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(read_all(&store).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_a_hot_stream() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let stores = [SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap()];
    let writers = (0..16).map(|writer| {
        let store = stores[writer % 2].clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                store.append(append("hot", 2)).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let versions: Vec<_> = common::read(&stores[0], "hot").await.iter().map(|event| event.version.get()).collect();
    assert!(versions.into_iter().eq(1..=640));
    assert_eq!(stores[1].head().await.unwrap().get(), 640);
    stores[0].archive(&stream("hot")).await.unwrap();
    assert!(stores[1].append(append("hot", 1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_file_is_waited_for_but_not_for_ever() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::builder(&path).patience(Duration::from_secs(2)).open().await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    let mut other = common::shell(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(append("a", 1)).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    assert_eq!(read_all(&store).await.len(), 1);
    sqlx::raw_sql("COMMIT; BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    // Either the waiting one was quick, or it goes on waiting until its patience ends.
    match store.append(append("a", 1)).await {
        Err(AppendError::Store(error @ StoreError::Unavailable { .. })) => assert!(error.is_transient()),
        other => panic!("{other:?}"),
    }
    drop(waiting.await.unwrap());
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    store.archive(&stream("a")).await.unwrap();
}

#[tokio::test]
async fn a_dropped_store_finishes_what_it_was_asked() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut watch = store.watch();
    store.append(append("a", 1)).await.unwrap();
    drop(store);
    tokio::time::timeout(Duration::from_secs(5), async { while watch.changed().await.is_ok() {} }).await.unwrap();
    assert_eq!(read_all(&SqliteStore::open(&path).await.unwrap()).await.len(), 1);
}

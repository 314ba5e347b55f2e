//! A full disk, and numbers that are used up.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{append, execute, read, read_all, shell, stream};
use recount_core::{Append, AppendError, EventData, EventStore, EventType, ExpectedVersion, StoreError};
use recount_store_sqlite::SqliteStore;
use tempfile::TempDir;

fn large(id: &str) -> Append {
    let event = EventData::new(EventType::new("account.opened").unwrap(), vec![7; 20_000]);
    Append::to(stream(id), ExpectedVersion::Any, vec![event])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_survived() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::builder(&path).max_size(1024 * 1024).open().await.unwrap();
    let mut acknowledged = 0;
    loop {
        let racing = (0..4).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.append(large("filler")).await })
        });
        let mut full = 0;
        for outcome in racing.collect::<Vec<_>>() {
            match outcome.await.unwrap() {
                Ok(_) => acknowledged += 1,
                Err(AppendError::Store(error @ StoreError::StorageFull { .. })) => {
                    assert!(error.is_transient());
                    full += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        if full == 4 {
            break;
        }
    }
    assert!(acknowledged > 20);
    assert_eq!(read(&store, "filler").await.len(), acknowledged);
    let check: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut shell(&path).await).await.unwrap();
    assert_eq!(check, "ok");

    // Erasing makes room, and the same store goes on.
    store.erase(&stream("filler")).await.unwrap();
    store.append(large("after")).await.unwrap();
    store.health().await.unwrap();
    assert_eq!(read_all(&store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_that_no_append_fits() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::builder(&path).max_size(1024 * 1024).open().await.unwrap();
    store.health().await.unwrap();
    fill(&store).await;
    for _ in 0..3 {
        let error = store.health().await.unwrap_err();
        assert!(matches!(error, StoreError::StorageFull { .. }), "{error}");
    }
    // Calls that need no room still succeed, and all calls do once there is room.
    assert!(!read_all(&store).await.is_empty());
    store.erase(&stream("filler")).await.unwrap();
    store.health().await.unwrap();
    store.append(large("after")).await.unwrap();
}

/// Appends that need it fail then, and so does health.
#[tokio::test(flavor = "multi_thread")]
async fn health_says_that_a_table_is_missing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let exchanges = [
        ("ALTER TABLE events RENAME TO aside", "ALTER TABLE aside RENAME TO events"),
        ("ALTER TABLE tags RENAME TO aside", "ALTER TABLE aside RENAME TO tags"),
        ("ALTER TABLE idempotency RENAME TO aside", "ALTER TABLE aside RENAME TO idempotency"),
        ("ALTER TABLE state RENAME TO aside", "ALTER TABLE aside RENAME TO state"),
    ];
    for (away, back) in exchanges {
        execute(&path, away).await.unwrap();
        assert!(store.health().await.is_err(), "after {away}");
        execute(&path, back).await.unwrap();
        store.health().await.unwrap();
    }
}

/// Appends until not even a small event fits.
async fn fill(store: &SqliteStore) {
    for append in [large as fn(&str) -> Append, |id| append(id, 1)] {
        loop {
            match store.append(append("filler")).await {
                Ok(_) => {}
                Err(AppendError::Store(StoreError::StorageFull { .. })) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn asking_for_health_again_and_again_takes_no_more_room() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    let pages =
        async || -> i64 { sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut shell(&path).await).await.unwrap() };
    store.health().await.unwrap();
    let before = pages().await;
    for _ in 0..20 {
        store.health().await.unwrap();
    }
    assert_eq!(pages().await, before);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM health").fetch_one(&mut shell(&path).await).await.unwrap();
    assert_eq!(left, 0);
}

/// A file system of three megabytes, which only root can make.
#[cfg(target_os = "linux")]
struct Small(TempDir);

#[cfg(target_os = "linux")]
impl Small {
    /// Mounts the file system. Returns `None` if this user can't, and prints a warning to stderr.
    fn mount() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(directory.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "NOT TESTED, this user can't mount file systems: a full file system");
        }
        mounted.then(|| Self(directory))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Small {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn health_says_that_the_file_system_is_full() {
    let Some(small) = Small::mount() else { return };
    let path = small.0.path().join("events.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    store.health().await.unwrap();
    let ballast = small.0.path().join("ballast");
    // Another program uses up the remaining room.
    let mut file = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write(&mut file, &[7; 4096]).is_ok_and(|written| written > 0) {}
    fill(&store).await;
    let error = store.health().await.unwrap_err();
    assert!(matches!(error, StoreError::StorageFull { .. }), "{error:?}");
    assert!(!read_all(&store).await.is_empty());
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    store.health().await.unwrap();
    store.append(large("after")).await.unwrap();
    store.close().await;
}

fn is_exhausted(outcome: Result<recount_core::Appended, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::Store(StoreError::Exhausted { .. })))
}

#[tokio::test]
async fn the_greatest_position_is_not_passed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    execute(&path, "UPDATE counters SET value = 9223372036854775805 WHERE name = 'position'").await.unwrap();
    assert!(is_exhausted(store.append(append("a", 3)).await));
    assert_eq!(store.append(append("a", 2)).await.unwrap().position, recount_core::Position::MAX);
    assert!(is_exhausted(store.append(append("b", 1)).await));
    assert_eq!(read_all(&store).await.len(), 3);
}

#[tokio::test]
async fn the_greatest_version_and_revision_are_not_passed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    store.append(append("b", 1)).await.unwrap();
    execute(
        &path,
        "INSERT INTO events SELECT 10, stream, 9223372036854775806, kind, recorded_at, x'00112233445566778899aabbccddeeff', NULL, NULL, x''
         FROM events WHERE position = 1;
         UPDATE counters SET value = 9223372036854775806 WHERE name = 'revision'",
    )
    .await
    .unwrap();
    assert!(is_exhausted(store.append(append("a", 2)).await));
    let last = store.append(append("a", 1)).await.unwrap();
    assert_eq!(last.streams[0].version, recount_core::StreamVersion::MAX);
    assert!(is_exhausted(store.append(append("a", 1)).await));
    store.append(append("b", 1)).await.unwrap();

    let key = recount_core::StateKey::new("k").unwrap();
    let put = || recount_core::StateStore::put(&store, &key, "v".into(), recount_core::ExpectedRevision::Any, None);
    assert_eq!(put().await.unwrap().0, i64::MAX.cast_unsigned());
    let error = put().await.unwrap_err();
    assert!(matches!(error, recount_core::StateError::Store(StoreError::Exhausted { .. })), "{error}");
}

//! The file of an open store is deleted, moved or exchanged: later writes are not acknowledged.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{append, read_all, stream};
use recount_core::{
    AppendError, Checkpoint, CheckpointError, EventStore, ExpectedRevision, Position, ReadModel, StateError, StateKey,
    StateStore, StoreError,
};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use tempfile::TempDir;

#[track_caller]
fn replaced(error: &StoreError, path: &Path, found: &str) {
    assert!(matches!(error, StoreError::Replaced { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()) && text.contains(found), "{text}");
    assert!(!error.is_transient());
}

#[track_caller]
fn append_error(outcome: Result<recount_core::Appended, AppendError>) -> StoreError {
    match outcome {
        Err(AppendError::Store(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Asserts that every write fails.
async fn refuses_everything(store: &SqliteStore, path: &Path, found: &str) {
    for _ in 0..2 {
        replaced(&append_error(store.append(append("a", 1)).await), path, found);
        replaced(&store.health().await.unwrap_err(), path, found);
        let key = StateKey::new("k").unwrap();
        match store.put(&key, "v".into(), ExpectedRevision::Any, None).await {
            Err(StateError::Store(error)) => replaced(&error, path, found),
            other => panic!("{other:?}"),
        }
        replaced(&store.archive(&stream("a")).await.unwrap_err(), path, found);
        replaced(&store.erase(&stream("b")).await.unwrap_err(), path, found);
        match step(&store.read_model()).await {
            Err(CheckpointError::Store(error)) => replaced(&error, path, found),
            other => panic!("{other:?}"),
        }
    }
    let racing = (0..16).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.append(append(&n.to_string(), 1)).await })
    });
    for outcome in racing.collect::<Vec<_>>() {
        replaced(&append_error(outcome.await.unwrap()), path, found);
    }
}

async fn step(model: &SqliteReadModel) -> Result<(), CheckpointError> {
    let (transaction, at) = model.begin("p").await?;
    let to = Checkpoint::from(Position::new(at.position.get() + 1));
    model.commit(transaction, "p", at, to).await
}

async fn store(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).await.unwrap();
    for id in ["a", "b"] {
        store.append(append(id, 2)).await.unwrap();
    }
    store
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_takes_no_more_writes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = store(&path).await;
    fs::remove_file(&path).unwrap();
    refuses_everything(&store, &path, "was moved or deleted").await;
    assert!(!path.exists(), "a file was made where the store was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_file_takes_no_more_writes_until_it_is_back() {
    let directory = TempDir::new().unwrap();
    let (path, aside) = (directory.path().join("events.db"), directory.path().join("aside.db"));
    let store = store(&path).await;
    fs::rename(&path, &aside).unwrap();
    refuses_everything(&store, &path, "was moved or deleted").await;
    fs::rename(&aside, &path).unwrap();
    let appended = store.append(append("back", 1)).await.unwrap();
    store.health().await.unwrap();
    store.close().await;
    let again = SqliteStore::open(&path).await.unwrap();
    assert_eq!(read_all(&again).await.last().unwrap().position, appended.position);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_at_the_path_is_not_written_to() {
    let directory = TempDir::new().unwrap();
    let (path, other) = (directory.path().join("events.db"), directory.path().join("other.db"));
    let stranger = SqliteStore::open(&other).await.unwrap();
    stranger.append(append("stranger", 1)).await.unwrap();
    stranger.close().await;
    let store = store(&path).await;
    fs::rename(&other, &path).unwrap();
    let bytes = fs::read(&path).unwrap();
    refuses_everything(&store, &path, "another file is at").await;
    store.close().await;
    assert_eq!(fs::read(&path).unwrap(), bytes, "the other store was written to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_taken_away_takes_no_more_writes() {
    for suffix in ["-wal", "-shm"] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("events.db");
        let store = store(&path).await;
        fs::remove_file(beside(&path, suffix)).unwrap();
        refuses_everything(&store, &path, suffix).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_directory_is_noticed() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("data")).unwrap();
    let path = directory.path().join("data/events.db");
    let store = store(&path).await;
    fs::rename(directory.path().join("data"), directory.path().join("old")).unwrap();
    refuses_everything(&store, &path, "was moved or deleted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_works_and_is_noticed_when_it_leads_elsewhere() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("data")).unwrap();
    let (file, link) = (directory.path().join("data/events.db"), directory.path().join("link.db"));
    drop(SqliteStore::open(&file).await.unwrap());
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let store = store(&link).await;
    let watching = SqliteStore::open(&link).await.unwrap();
    let mut heads = watching.watch();
    for _ in 0..3 {
        let position = store.append(append("linked", 1)).await.unwrap().position;
        tokio::time::timeout(std::time::Duration::from_secs(5), heads.wait_for(|head| *head >= position))
            .await
            .unwrap()
            .unwrap();
    }
    store.health().await.unwrap();
    // The log beside the file, not beside the link, belongs to the store.
    fs::remove_file(beside(&file, "-wal")).unwrap();
    refuses_everything(&watching, &link, "-wal").await;

    let other = directory.path().join("other.db");
    SqliteStore::open(&other).await.unwrap().close().await;
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    refuses_everything(&store, &link, "another file is at").await;
}

/// A closed connection is reopened only if the path still leads to the same store.
#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_finds_the_same_store_or_fails() {
    let directory = TempDir::new().unwrap();
    let (path, other) = (directory.path().join("events.db"), directory.path().join("other.db"));
    let stranger = SqliteStore::open(&other).await.unwrap();
    stranger.append(append("stranger", 1)).await.unwrap();
    stranger.close().await;
    let store = SqliteStore::builder(&path).max_size(400 * 1024).open().await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    // A full file makes the writer close its connection. It reconnects by itself.
    let mut large = append("large", 1);
    large.streams[0].events[0].payload = vec![7; 1024 * 1024].into();
    assert!(matches!(append_error(store.append(large.clone()).await), StoreError::StorageFull { .. }));
    store.append(append("a", 1)).await.unwrap();

    assert!(matches!(append_error(store.append(large).await), StoreError::StorageFull { .. }));
    // The same file with the content of another store, for example after a copy over it.
    let mut reading = SqliteReadModel::open(&other).await.unwrap();
    step(&reading).await.unwrap();
    reading = store.read_model();
    reading.pool().close().await;
    for suffix in ["-wal", "-shm"] {
        drop(fs::remove_file(beside(&path, suffix)));
    }
    fs::write(&path, fs::read(&other).unwrap()).unwrap();
    let error = append_error(store.append(append("a", 1)).await);
    replaced(&error, &path, "it holds store");
    assert_eq!(read_all(&SqliteStore::open(&path).await.unwrap()).await.len(), 1);
}

/// New reading connections don't return another store's events.
#[tokio::test(flavor = "multi_thread")]
async fn readers_do_not_read_another_store() {
    let directory = TempDir::new().unwrap();
    let (path, other) = (directory.path().join("events.db"), directory.path().join("other.db"));
    let stranger = SqliteStore::open(&other).await.unwrap();
    stranger.append(append("stranger", 9)).await.unwrap();
    stranger.close().await;
    let store = store(&path).await;
    // The connections that read so far, one or two, are in use when the file is exchanged.
    let (pool, mut held) = (store.read_model().pool().clone(), Vec::new());
    while held.len() < pool.size() as usize {
        held.push(pool.acquire().await.unwrap());
    }
    fs::rename(&other, &path).unwrap();
    for _ in 0..2 {
        replaced(&store.head().await.unwrap_err(), &path, "another file is at");
        let key = StateKey::new("k").unwrap();
        replaced(&store.get(&key).await.unwrap_err(), &path, "another file is at");
    }
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_in_a_file_of_its_own_is_noticed_too() {
    let directory = TempDir::new().unwrap();
    let (path, aside) = (directory.path().join("model.db"), directory.path().join("aside.db"));
    let model = SqliteReadModel::open(&path).await.unwrap();
    step(&model).await.unwrap();
    fs::rename(&path, &aside).unwrap();
    for _ in 0..2 {
        match step(&model).await {
            Err(CheckpointError::Store(error)) => replaced(&error, &path, "no longer holds the read model"),
            other => panic!("{other:?}"),
        }
    }
    let another = SqliteReadModel::open(&path).await.unwrap();
    step(&another).await.unwrap();
    match step(&model).await {
        Err(CheckpointError::Store(error)) => replaced(&error, &path, "another file is at"),
        other => panic!("{other:?}"),
    }
    assert_eq!(another.checkpoint("p").await.unwrap().position, Position::new(1));
}

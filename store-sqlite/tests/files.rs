//! Which files are opened, which are refused, and that refused ones stay as they were.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{append, execute, read, read_all};
use recount_core::{EventStore, Position, ReadModel, StoreError};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use tempfile::TempDir;

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    store.close().await;
    execute(&path, "PRAGMA user_version = 99").await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::SchemaVersion { found: 99, known: 1 }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn other_files_are_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "milk, bread").unwrap();
    let foreign = directory.path().join("foreign.db");
    execute(&foreign, "CREATE TABLE things (id INTEGER); INSERT INTO things VALUES (1)").await.unwrap();
    let marked = directory.path().join("marked.db");
    execute(&marked, "PRAGMA application_id = 7").await.unwrap();
    for path in [text, foreign, marked] {
        let before = std::fs::read(&path).unwrap();
        let error = SqliteStore::open(&path).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { what } if what.contains(&path.display().to_string())),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before, "{}", path.display());
    }
    let missing = SqliteStore::open(directory.path().join("no/such/directory/events.db")).await.unwrap_err();
    assert!(matches!(missing, StoreError::Backend { .. }), "{missing}");
}

#[tokio::test]
async fn a_path_that_names_no_file_is_refused() {
    let directory = TempDir::new().unwrap();
    let folder = directory.path().display().to_string();
    for path in ["", ":memory:", "sqlite://shop.db", "sqlite:shop.db", "file:shop.db?mode=memory", folder.as_str()] {
        let store = SqliteStore::open(path).await.unwrap_err();
        let read_model = SqliteReadModel::open(path).await.unwrap_err();
        for error in [store, read_model] {
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(
                source.contains(if path.is_empty() { "empty" } else { path }) || path == ":memory:",
                "{path}: {source}"
            );
        }
    }
    assert!(!std::path::Path::new("sqlite:").exists() && !std::path::Path::new(":memory:").exists());
}

/// A store and a read model can share a file, whichever of them is opened first.
#[tokio::test]
async fn a_file_of_a_read_model_becomes_a_store_too() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let model = SqliteReadModel::open(&path).await.unwrap();
    execute(&path, "CREATE TABLE sums (name TEXT)").await.unwrap();
    let (transaction, from) = model.begin("early").await.unwrap();
    model.commit(transaction, "early", from, Position::new(7).into()).await.unwrap();
    for _ in 0..2 {
        let store = SqliteStore::open(&path).await.unwrap();
        store.append(append("a", 1)).await.unwrap();
        assert_eq!(store.read_model().checkpoint("early").await.unwrap().position, Position::new(7));
        store.close().await;
    }
    assert_eq!(model.checkpoint("early").await.unwrap().position, Position::new(7));
    // A table of that name alone does not make the file one of recount's.
    let foreign = directory.path().join("foreign.db");
    execute(&foreign, "CREATE TABLE checkpoints (id INTEGER)").await.unwrap();
    let error = SqliteStore::open(&foreign).await.unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { what } if what.contains("another application")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_is_migrated_once_however_many_open_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let opening: Vec<_> = (0..12)
        .map(|index| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = SqliteStore::open(path).await.unwrap();
                store.append(append(&index.to_string(), 3)).await.unwrap();
                store
            })
        })
        .collect();
    for store in opening {
        assert!(store.await.unwrap().head().await.unwrap().get() >= 3);
    }
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(read_all(&store).await.len(), 36);
}

/// The fixture was written by schema version 1 and is never written again: see `examples/fixture.rs`.
#[tokio::test]
async fn a_file_of_schema_version_1_is_read_and_written() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.db"), &path).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let before = read_all(&store).await;
    assert_eq!(before.len(), 6);
    assert_eq!(before[0].data.payload, &b"{\"owner\":\"Ada\"}"[..]);
    assert_eq!(before[1].data.tags[0].as_str(), "customer:ada");
    assert_eq!(before[1].data.metadata.actor.as_deref(), Some("ada"));
    assert!(matches!(store.append(append("archived", 1)).await, Err(recount_core::AppendError::Conflict(_))));
    store.append(append("1", 2)).await.unwrap();
    assert_eq!(read(&store, "1").await.len(), 5);
    let key = recount_core::Namespace::SNAPSHOT.key("account/1").unwrap();
    assert_eq!(recount_core::StateStore::get(&store, &key).await.unwrap().unwrap().value, &b"snapshot"[..]);
    let key = recount_core::IdempotencyKey::new("transfer-1").unwrap();
    assert_eq!(store.find_append(&key).await.unwrap().unwrap().appended.position.get(), 5);
}

#[tokio::test]
async fn the_file_can_be_looked_at_with_sql() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(append("7", 2)).await.unwrap();
    let rows: Vec<(i64, String, i64, String, String)> =
        sqlx::query_as("SELECT position, stream, version, type, payload FROM event_log")
            .fetch_all(&mut common::shell(&path).await)
            .await
            .unwrap();
    assert_eq!(rows[1], (2, "account/7".into(), 2, "account.opened".into(), "{}".into()));
}

#[tokio::test]
async fn events_are_protected_by_the_database() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut tagged = append("7", 2);
    tagged.streams[0].events[0].tags.push(recount_core::Tag::new("customer:ada").unwrap());
    store.append(tagged).await.unwrap();
    for sql in [
        "UPDATE events SET payload = x'00'",
        "UPDATE events SET position = 99 WHERE position = 1",
        "DELETE FROM events",
        "DELETE FROM events WHERE position = 2",
        "UPDATE tags SET tag = 'x'",
        "DELETE FROM tags",
        "DELETE FROM streams",
        "UPDATE streams SET name = 'x'",
        "DELETE FROM kinds",
        "UPDATE kinds SET event_type = 'x'",
    ] {
        let error = execute(&path, sql).await.unwrap_err().to_string();
        assert!(error.contains("never") || error.contains("erasing"), "{sql}: {error}");
    }
    assert_eq!(read(&store, "7").await.len(), 2);
    store.erase(&common::stream("7")).await.unwrap();
    assert_eq!(read_all(&store).await.len(), 0);
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(12).any(|window| window == b"customer:ada"), "erased data is still in the file");
}

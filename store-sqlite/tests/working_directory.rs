//! A relative path is resolved when the store is opened. A test binary of its own, since the working directory belongs
//! to the process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::append;
use recount_core::{EventStore, ReadModel};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use tempfile::TempDir;

#[tokio::test]
async fn a_relative_path_stays_the_same_file() {
    let (directory, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    std::env::set_current_dir(directory.path()).unwrap();
    let store = SqliteStore::open("events.db").await.unwrap();
    let model = SqliteReadModel::open("model.db").await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    std::env::set_current_dir(elsewhere.path()).unwrap();
    store.append(append("a", 1)).await.unwrap();
    store.health().await.unwrap();
    let (transaction, from) = model.begin("p").await.unwrap();
    model.commit(transaction, "p", from, recount_core::Position::new(1).into()).await.unwrap();
    assert_eq!(store.path(), directory.path().canonicalize().unwrap().join("events.db"));
    assert_eq!(model.path(), directory.path().canonicalize().unwrap().join("model.db"));
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    std::env::set_current_dir("/").unwrap();
}

//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "every test takes what it needs")]

pub mod models;

use std::path::Path;

use futures_util::TryStreamExt;
use recount_core::{
    Append, EventData, EventStore, EventType, ExpectedVersion, Query, ReadAll, ReadStream, RecordedEvent, StreamId,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

pub fn stream(id: &str) -> StreamId {
    StreamId::new("account", id).unwrap()
}

pub fn event() -> EventData {
    EventData::new(EventType::new("account.opened").unwrap(), b"{}".to_vec())
}

pub fn events(count: usize) -> Vec<EventData> {
    (0..count).map(|_| event()).collect()
}

pub fn append(id: &str, count: usize) -> Append {
    Append::to(stream(id), ExpectedVersion::Any, events(count))
}

pub async fn read(store: &impl EventStore, id: &str) -> Vec<RecordedEvent> {
    store.read_stream(ReadStream::new(stream(id))).try_collect().await.unwrap()
}

pub async fn read_all(store: &impl EventStore) -> Vec<RecordedEvent> {
    store.read_all(ReadAll::new(Query::all())).try_collect().await.unwrap()
}

/// A connection of somebody who knows nothing of recount.
pub async fn shell(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

pub async fn execute(path: &Path, sql: &'static str) -> Result<u64, sqlx::Error> {
    let mut shell = shell(path).await;
    let done = sqlx::raw_sql(sql).execute(&mut shell).await?;
    shell.close().await.unwrap();
    Ok(done.rows_affected())
}

/// Restores an open store from a copy, table by table.
pub async fn restore(path: &Path, copy: &Path) {
    let mut shell = shell(path).await;
    sqlx::query("ATTACH ? AS copy").bind(copy.display().to_string()).execute(&mut shell).await.unwrap();
    let names = "SELECT name, sql FROM copy.sqlite_schema WHERE type = ? AND name NOT LIKE 'sqlite_%'";
    let triggers: Vec<(String, String)> = sqlx::query_as(names).bind("trigger").fetch_all(&mut shell).await.unwrap();
    let tables: Vec<(String, String)> = sqlx::query_as(names).bind("table").fetch_all(&mut shell).await.unwrap();
    let mut script = "BEGIN IMMEDIATE;".to_owned();
    triggers.iter().for_each(|(name, _)| script += &format!("DROP TRIGGER main.{name};"));
    for (name, _) in tables {
        script += &format!("DELETE FROM main.{name}; INSERT INTO main.{name} SELECT * FROM copy.{name};");
    }
    triggers.iter().for_each(|(_, sql)| script += &format!("{sql};"));
    script += "COMMIT;";
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut shell).await.unwrap();
    shell.close().await.unwrap();
}

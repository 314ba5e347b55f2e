//! What the tests of this crate share: a fresh database for each.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

pub mod counts;
pub mod hesitate;
pub mod models;
pub mod process;
pub mod proxy;
pub mod readers;

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::TryStreamExt;
use recount_core::{
    Append, EventData, EventStore, EventType, ExpectedVersion, Query, ReadAll, ReadStream, RecordedEvent, StreamId,
};
use recount_servers::Postgres;
use recount_store_postgres::PostgresStore;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

/// A database of its own, dropped in the end unless the test failed, or the whole server goes anyway.
pub struct Fresh {
    server: String,
    name: String,
}

impl Fresh {
    pub async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("RECOUNT_TEST_POSTGRES").unwrap_or_else(|_| {
            panic!("RECOUNT_TEST_POSTGRES names no server: run `cargo xtask test`, which starts one, or set it to the URL of a server for tests")
        });
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("recount_test_{}_{number}_{:08x}", std::process::id(), fastrand::u32(..));
        let mut connection = PgConnection::connect(&server).await.expect("the server for tests answers");
        execute_on(&mut connection, &format!("CREATE DATABASE {name}")).await.unwrap();
        connection.close().await.unwrap();
        Self { server, name }
    }

    pub fn url(&self) -> String {
        let (base, options) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (host, _) = base.rsplit_once('/').expect("the URL names a database");
        format!("{host}/{}?{options}", self.name)
    }

    /// A proxy before the server, and the URL of this database through it.
    pub async fn behind_a_proxy(&self) -> (proxy::Proxy, String) {
        let options: PgConnectOptions = self.url().parse().unwrap();
        let proxy = proxy::Proxy::start(options.get_port()).await;
        let url = options.host("127.0.0.1").port(proxy.port).to_url_lossy();
        (proxy, url.to_string())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection to another database of the server.
    pub async fn server(&self) -> PgConnection {
        PgConnection::connect(&self.server).await.unwrap()
    }

    pub async fn store(&self) -> PostgresStore {
        PostgresStore::open(&self.url()).await.unwrap()
    }

    /// Another store, in the same database.
    pub async fn another(&self) -> PostgresStore {
        PostgresStore::builder(&self.url()).schema("another").open().await.unwrap()
    }

    /// A connection of somebody who knows nothing of recount.
    pub async fn shell(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    pub async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let mut shell = self.shell().await;
        let done = execute_on(&mut shell, sql).await;
        shell.close().await.unwrap();
        done
    }

    /// Saves a copy of the store's events, like a backup.
    pub async fn save(&self) {
        let copies = ["events", "tags", "appends"].map(|table| {
            format!("DROP TABLE IF EXISTS copy.{table}; CREATE TABLE copy.{table} AS TABLE recount.{table};")
        });
        let last = "DROP TABLE IF EXISTS copy.last; CREATE TABLE copy.last AS SELECT last_value FROM recount.position_sequence";
        self.execute(&format!("CREATE SCHEMA IF NOT EXISTS copy; {} {last}", copies.concat())).await.unwrap();
    }

    /// Restores the copy while instances of the store are open.
    pub async fn restore(&self) {
        let tables = ["tags", "appends", "events"].map(|table| {
            format!("DELETE FROM recount.{table}; INSERT INTO recount.{table} SELECT * FROM copy.{table};")
        });
        let script = format!(
            "BEGIN; SET LOCAL session_replication_role = replica; {}
            SELECT setval('recount.position_sequence', (SELECT last_value FROM copy.last)); COMMIT",
            tables.concat()
        );
        self.execute(&script).await.unwrap();
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let mut shell = self.shell().await;
        let number = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut shell).await.unwrap();
        shell.close().await.unwrap();
        number
    }
}

pub async fn execute_on(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    Ok(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await?.rows_affected())
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the database {} is kept", self.name);
            return;
        }
        if std::env::var_os("RECOUNT_TEST_POSTGRES_DISPOSABLE").is_some() {
            return;
        }
        let (server, drop) = (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A thread of its own: this one may be inside a runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await?;
                execute_on(&mut connection, &drop).await
            })
        });
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("the database {} is left: {error}", self.name);
        }
    }
}

/// Kills the server and starts it again.
pub async fn restart(mut server: Postgres) -> Postgres {
    let restarted = tokio::task::spawn_blocking(move || {
        server.kill();
        server.start_again().unwrap();
        server
    });
    restarted.await.unwrap()
}

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

//! The stores of the services, read by SQL from outside: no code of the services is used.

use anyhow::{Context, Result};
use recount::redacted;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::stores::Stores;
use super::topology::Part;

/// The store of a service.
pub enum Archive {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// An event in a store.
#[derive(Debug)]
pub struct Entry {
    /// The category of its stream.
    pub category: String,
    /// The stream's name within the category.
    pub name: String,
    pub kind: String,
    pub payload: Value,
    /// The id of the event, in hexadecimal digits.
    pub id: String,
}

impl Archive {
    /// Opens the store of a service. `None` if there is none yet.
    pub async fn open(stores: &Stores, part: Part) -> Result<Option<Self>> {
        let url = stores.of(part);
        let context = || format!("can't read the store {} of service {part}", redacted(&url));
        match stores.file(part) {
            Some(file) if !file.exists() => Ok(None),
            Some(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                Ok(Some(Self::Sqlite(options.connect().await.with_context(context)?)))
            }
            None => Ok(Some(Self::Postgres(PgConnection::connect(&url).await.with_context(context)?))),
        }
    }

    /// Its events, in order. `None` if the service has not made its tables yet.
    pub async fn events(&mut self) -> Result<Option<Vec<Entry>>> {
        if !self.is_made().await? {
            return Ok(None);
        }
        let select = "SELECT stream, type, CAST(payload AS TEXT), replace(CAST(event_id AS TEXT), '-', '') \
            FROM recount.event_log ORDER BY position";
        let rows: Vec<(String, String, String, String)> = self.rows(select).await?;
        let entry = |(stream, kind, payload, id): (String, String, String, String)| {
            let (category, name) = stream.split_once('/').unwrap_or((&stream, ""));
            let payload = serde_json::from_str(&payload).with_context(|| format!("event {id} is no JSON"))?;
            Ok(Entry { category: category.to_owned(), name: name.to_owned(), kind, payload, id })
        };
        rows.into_iter().map(entry).collect::<Result<_>>().map(Some)
    }

    /// Whether the tables of the store are there.
    async fn is_made(&mut self) -> Result<bool> {
        let (count,): (i64,) = match self {
            Self::Sqlite(connection) => {
                let select = "SELECT count(*) FROM sqlite_master WHERE name = 'event_log'";
                sqlx::query_as(select).fetch_one(connection).await?
            }
            Self::Postgres(connection) => {
                let select = "SELECT count(*) FROM pg_views WHERE schemaname = 'recount' AND viewname = 'event_log'";
                sqlx::query_as(select).fetch_one(connection).await?
            }
        };
        Ok(count == 1)
    }

    /// Rows of the store's tables (in the schema `recount`) or its read models (in the schema `shop`).
    pub async fn rows<R>(&mut self, sql: &str) -> Result<Vec<R>>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>
            + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>
            + Send
            + Unpin,
    {
        Ok(match self {
            Self::Sqlite(connection) => {
                let sql = sql.replace("recount.", "").replace("shop.", "");
                sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?
            }
            Self::Postgres(connection) => {
                let sql = sql.replace("shop.", "recount_shop.");
                sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?
            }
        })
    }

    pub async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite(connection) => connection.close().await?,
            Self::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}

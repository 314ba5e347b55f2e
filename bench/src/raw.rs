//! What somebody would write by hand: a table of events, and one prepared insert of many rows.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use crate::batch::{BATCH, batch};

/// The columns, constraints and index of the store's table of events.
const TABLE: &str = "
CREATE TABLE events (
    position INTEGER PRIMARY KEY CHECK (position > 0),
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    kind INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    event_id BLOB NOT NULL UNIQUE,
    tags TEXT,
    metadata TEXT,
    payload BLOB NOT NULL,
    UNIQUE (stream, version)
) STRICT;
CREATE INDEX events_by_kind ON events (kind, position);
";

/// A database without recount, with the settings that the store gives its own.
pub struct Raw {
    connection: SqliteConnection,
    insert: String,
    position: i64,
    stream: i64,
}

impl Raw {
    pub async fn open(file: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", "-16384")
            .pragma("wal_autocheckpoint", "4096")
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        sqlx::raw_sql(TABLE).execute(&mut connection).await?;
        let rows = vec!["(?,?,?,?,?,?,?,?,?)"; BATCH as usize].join(",");
        Ok(Self { connection, insert: format!("INSERT INTO events VALUES {rows}"), position: 0, stream: 0 })
    }

    /// Inserts into a new stream until the time is over, one durable transaction for each batch; answers events per second.
    pub async fn insert_for(&mut self, time: Duration) -> Result<f64> {
        self.stream += 1;
        let (started, mut version) = (Instant::now(), 0);
        while started.elapsed() < time {
            let mut transaction = self.connection.begin().await?;
            let mut insert = sqlx::query(AssertSqlSafe(self.insert.as_str()));
            for event in batch()? {
                self.position += 1;
                version += 1;
                insert = insert.bind(self.position).bind(self.stream).bind(version).bind(1).bind(0_i64);
                insert = insert.bind(event.id.0.as_bytes().to_vec()).bind(None::<String>).bind(None::<String>);
                insert = insert.bind(event.payload.to_vec());
            }
            insert.execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        Ok(f64::from(version) / started.elapsed().as_secs_f64())
    }
}

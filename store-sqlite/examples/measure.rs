//! Measures the store: `cargo run --release -p recount-store-sqlite --example measure [DIRECTORY]`.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use recount_core::{
    Append, BoxError, EventData, EventStore, EventType, ExpectedVersion, Query, ReadAll, StreamId, StreamVersion,
};
use recount_store_sqlite::SqliteStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};

const RUN: Duration = Duration::from_secs(2);
/// How long each side of a comparison runs before it is the other's turn.
const TURN: Duration = Duration::from_millis(700);
const PAYLOAD: usize = 300;

fn event() -> EventData {
    EventData::new(EventType::from_static("measure.happened"), vec![b'x'; PAYLOAD])
}

/// Appends one at a time from this many tasks, each to a stream of its own; answers appends per second.
async fn single(store: &SqliteStore, tasks: usize, run: &str) -> Result<f64, BoxError> {
    let started = Instant::now();
    let work = (0..tasks).map(|task| {
        let (store, stream) = (store.clone(), StreamId::new("single", format!("{run}-{task}")));
        tokio::spawn(async move {
            let stream = stream?;
            let mut version = StreamVersion::EMPTY;
            while started.elapsed() < RUN {
                let append = Append::to(stream.clone(), ExpectedVersion::Exact(version), vec![event()]);
                store.append(append).await?;
                version = version.next();
            }
            Ok::<_, BoxError>(version.get())
        })
    });
    let mut total = 0;
    for task in work.collect::<Vec<_>>() {
        total += task.await??;
    }
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

/// Appends of 100 events each; answers events per second.
async fn hundreds(store: &SqliteStore) -> Result<f64, BoxError> {
    let stream = StreamId::new("hundreds", uuid::Uuid::now_v7().to_string())?;
    let (started, mut total) = (Instant::now(), 0);
    while started.elapsed() < TURN {
        let events = (0..100).map(|_| event()).collect();
        store.append(Append::to(stream.clone(), ExpectedVersion::Any, events)).await?;
        total += 100;
    }
    Ok(f64::from(total) / started.elapsed().as_secs_f64())
}

/// The same rows by hand: one prepared insert of 100 rows, one durable transaction each.
async fn raw(path: &Path) -> Result<f64, BoxError> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS raw (position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, version INTEGER NOT NULL,
         kind INTEGER NOT NULL, recorded_at INTEGER NOT NULL, event_id BLOB NOT NULL UNIQUE, tags TEXT, metadata TEXT,
         payload BLOB NOT NULL, UNIQUE (stream, version)) STRICT",
    )
    .execute(&mut connection)
    .await?;
    let sql = format!("INSERT INTO raw VALUES {}", vec!["(?,?,?,?,?,?,?,?,?)"; 100].join(","));
    let mut position: i64 =
        sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM raw").fetch_one(&mut connection).await?;
    let stream = position + 1;
    let (started, mut total) = (Instant::now(), 0);
    while started.elapsed() < TURN {
        let mut transaction = connection.begin().await?;
        let mut insert = sqlx::query(sqlx::AssertSqlSafe(sql.as_str()));
        for _ in 0..100 {
            position += 1;
            let event = event();
            insert = insert.bind(position).bind(stream).bind(position).bind(1).bind(0_i64);
            insert = insert.bind(event.id.0.as_bytes().to_vec()).bind(None::<String>).bind(None::<String>);
            insert = insert.bind(event.payload.to_vec());
        }
        insert.execute(&mut *transaction).await?;
        transaction.commit().await?;
        total += 100;
    }
    Ok(f64::from(total) / started.elapsed().as_secs_f64())
}

async fn replay(store: &SqliteStore, query: Query) -> Result<f64, BoxError> {
    let (started, mut total) = (Instant::now(), 0_u64);
    let mut events = store.read_all(ReadAll::new(query));
    while events.try_next().await?.is_some() {
        total += 1;
    }
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

async fn compare(store: &SqliteStore, directory: &Path) -> Result<(), BoxError> {
    for round in 1..=6 {
        let by_hand = raw(&directory.join("raw.db")).await?;
        let through = hundreds(store).await?;
        println!(
            "round {round}: appends of 100: {through:>9.0} events/s, by hand {by_hand:>9.0}/s, {:.2} of it",
            through / by_hand
        );
    }
    Ok(())
}

/// Writes 200,000 events.
async fn fill(store: &SqliteStore) -> Result<(), BoxError> {
    for number in 0..200 {
        let stream = StreamId::new("single", number.to_string())?;
        let events = (0..1000).map(|_| event()).collect();
        store.append(Append::to(stream, ExpectedVersion::Any, events)).await?;
    }
    Ok(())
}

async fn replays(store: &SqliteStore) -> Result<(), BoxError> {
    println!("replay of everything:  {:>9.0} events/s", replay(store, Query::all()).await?);
    let one_type = Query::types([EventType::from_static("measure.happened")]);
    println!("replay of one type:    {:>9.0} events/s", replay(store, one_type).await?);
    println!("replay of a category:  {:>9.0} events/s", replay(store, Query::category("single")).await?);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let directory = tempfile::tempdir_in(std::env::args().nth(1).unwrap_or_else(|| ".".into()))?;
    let store = SqliteStore::open(directory.path().join("events.db")).await?;
    if std::env::args().nth(2).as_deref() == Some("replay") {
        fill(&store).await?;
        return replays(&store).await;
    }
    if std::env::args().nth(2).as_deref() == Some("hundreds") {
        return compare(&store, directory.path()).await;
    }
    let mut one = 0.0;
    for tasks in [1, 32, 256] {
        let rate = single(&store, tasks, &format!("t{tasks}")).await?;
        if tasks == 1 {
            one = rate;
        }
        println!("{tasks:>4} appenders of one event: {rate:>9.0}/s, {:.1} times one", rate / one);
    }
    compare(&store, directory.path()).await?;
    replays(&store).await?;
    store.close().await;
    Ok(())
}

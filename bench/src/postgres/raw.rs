//! What somebody would write by hand: a table like the store's, and prepared statements, each client on a connection of its own.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use futures_util::TryStreamExt;
use protocol::{Answer, Scenario, Turn, go, load};
use recount::Event;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, PgConnection, Row};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::domain::{TillEvent, sold};

/// The columns, constraints and indexes of the store's table of events.
const TABLE: &str = r#"
CREATE SEQUENCE position_sequence AS bigint;
CREATE TABLE events (
    position bigint NOT NULL DEFAULT nextval('position_sequence'),
    version bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    kind integer NOT NULL,
    stream text COLLATE "C" NOT NULL,
    tags text COLLATE "C",
    metadata text COLLATE "C",
    payload bytea NOT NULL,
    CONSTRAINT events_by_position PRIMARY KEY (position),
    CONSTRAINT events_by_stream UNIQUE (stream, version),
    CONSTRAINT events_by_id UNIQUE (event_id)
);
CREATE INDEX events_by_kind ON events (kind, position);
"#;

const INSERT: &str = "INSERT INTO events (version, recorded_at, event_id, kind, stream, tags, metadata, payload)
    VALUES ($1, clock_timestamp(), $2, 1, $3, NULL, NULL, $4)";

const INSERT_MANY: &str = "INSERT INTO events (version, recorded_at, event_id, kind, stream, tags, metadata, payload)
    SELECT e.version, clock_timestamp(), e.id, 1, e.stream, NULL, NULL, e.payload
    FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bytea[]) AS e(version, id, stream, payload)";

const SELECT: &str =
    "SELECT position, version, recorded_at::text, event_id, kind, stream, tags, metadata, payload FROM events";

/// How many rows a page of the keyset read has.
const PAGE: i64 = 1000;

pub async fn run(turn: Turn) -> Result<Option<Answer>> {
    let options: PgConnectOptions = turn.url.parse()?;
    let options = options.disable_statement_logging();
    let mut connections = Vec::new();
    for _ in 0..turn.clients {
        connections.push(Mutex::new(options.connect().await?));
    }
    let clients = Arc::new(connections);
    Ok(Some(match turn.scenario {
        Scenario::Fill => fill(&mut *clients[0].lock().await, &turn).await?,
        Scenario::Inserts => inserts(clients, &turn).await?,
        Scenario::Cold => load_and_insert(clients, &turn).await?,
        Scenario::Batch => batches(clients, &turn).await?,
        Scenario::Rehydrate => rehydrate(clients, &turn).await?,
        Scenario::CatchUp => catch_up(&mut *clients[0].lock().await).await?,
        _ => return Ok(None),
    }))
}

async fn fill(connection: &mut PgConnection, turn: &Turn) -> Result<Answer> {
    sqlx::raw_sql(TABLE).execute(&mut *connection).await?;
    for stream in 0..turn.streams {
        insert_many(connection, &format!("past-{stream}"), 1, i64::from(turn.length)).await?;
    }
    Ok(Answer::default())
}

async fn insert(connection: &mut PgConnection, stream: String, version: i64) -> Result<()> {
    let event = sold(u32::try_from(version)?).encode()?;
    let insert = sqlx::query(INSERT).bind(version).bind(event.id.0).bind(stream).bind(&event.payload[..]);
    insert.execute(connection).await?;
    Ok(())
}

async fn insert_many(connection: &mut PgConnection, stream: &str, first: i64, count: i64) -> Result<()> {
    let (mut versions, mut ids, mut streams, mut payloads) = (vec![], Vec::<Uuid>::new(), vec![], vec![]);
    for version in first..first + count {
        let event = sold(u32::try_from(version)?).encode()?;
        versions.push(version);
        ids.push(event.id.0);
        streams.push(stream);
        payloads.push(event.payload.to_vec());
    }
    let insert = sqlx::query(INSERT_MANY).bind(versions).bind(ids).bind(streams).bind(payloads);
    insert.execute(connection).await?;
    Ok(())
}

type Clients = Arc<Vec<Mutex<PgConnection>>>;

async fn inserts(clients: Clients, turn: &Turn) -> Result<Answer> {
    let round = turn.turn;
    load(turn, move |client, number| {
        let clients = Arc::clone(&clients);
        async move {
            let mut connection = clients[client as usize].lock().await;
            insert(&mut connection, format!("new-{round}-{client}"), i64::from(number) + 1).await?;
            Ok((1, 0))
        }
    })
    .await
}

/// Reads the stream, decides, and inserts.
async fn load_and_insert(clients: Clients, turn: &Turn) -> Result<Answer> {
    let Turn { turn: round, streams, .. } = *turn;
    let count = u32::try_from(turn.clients)?;
    load(turn, move |client, number| {
        let clients = Arc::clone(&clients);
        async move {
            let mut connection = clients[client as usize].lock().await;
            let stream = format!("past-{}", (client + count * number + round * 1500) % streams);
            let (version, cents) = fold(&mut connection, &stream).await?;
            ensure!(cents > 0, "{stream} is empty");
            insert(&mut connection, stream, version + 1).await?;
            Ok((1, 0))
        }
    })
    .await
}

/// What all events of a stream come to, and its version.
async fn fold(connection: &mut PgConnection, stream: &str) -> Result<(i64, i64)> {
    const BY_STREAM: &str = "SELECT version, payload FROM events WHERE stream = $1 ORDER BY version";
    let mut rows = sqlx::query(BY_STREAM).bind(stream).fetch(connection);
    let (mut version, mut total) = (0, 0);
    while let Some(row) = rows.try_next().await? {
        version = row.try_get(0)?;
        total += cents(row.try_get(1)?)?;
    }
    Ok((version, total))
}

fn cents(payload: &[u8]) -> Result<i64> {
    match TillEvent::decode("till.sold", 1, payload)? {
        TillEvent::Sold { cents, .. } => Ok(cents),
        TillEvent::Closed { .. } => Ok(0),
    }
}

async fn batches(clients: Clients, turn: &Turn) -> Result<Answer> {
    let round = turn.turn;
    load(turn, move |client, number| {
        let clients = Arc::clone(&clients);
        async move {
            let mut connection = clients[client as usize].lock().await;
            let stream = format!("new-{round}-{client}");
            insert_many(&mut connection, &stream, i64::from(number) * 100 + 1, 100).await?;
            Ok((100, 0))
        }
    })
    .await
}

async fn rehydrate(clients: Clients, turn: &Turn) -> Result<Answer> {
    let length = turn.length;
    load(turn, move |client, _| {
        let clients = Arc::clone(&clients);
        async move {
            let (version, _) = fold(&mut *clients[client as usize].lock().await, "past-0").await?;
            ensure!(version == i64::from(length), "the stream has {version} events");
            Ok((u64::from(length), 0))
        }
    })
    .await
}

/// Everything in pages, each from where the last one ended.
async fn catch_up(connection: &mut PgConnection) -> Result<Answer> {
    let page = format!("{SELECT} WHERE position > $1 ORDER BY position LIMIT {PAGE}");
    go().await?;
    let started = Instant::now();
    let (mut units, mut after, mut total) = (0, 0_i64, 0);
    loop {
        let rows: Vec<PgRow> =
            sqlx::query(sqlx::AssertSqlSafe(page.as_str())).bind(after).fetch_all(&mut *connection).await?;
        for row in &rows {
            after = row.try_get(0)?;
            total += cents(row.try_get(8)?)?;
            units += 1;
        }
        if rows.len() < usize::try_from(PAGE)? {
            break;
        }
    }
    ensure!(total > 0, "nothing was there");
    Ok(Answer { units, seconds: started.elapsed().as_secs_f64(), ..Answer::default() })
}

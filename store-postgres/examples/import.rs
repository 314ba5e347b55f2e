//! How fast an import is beside the plainest `COPY` of the same rows into tables of the same form.
//!
//! `cargo run --release -p recount-store-postgres --example import -- postgres://postgres@localhost/postgres [events]`
//! on a server that is there for nothing else; the schemas `import_by_recount` and `import_by_hand` are made anew.

use std::error::Error;
use std::time::{Duration, Instant};

use futures_util::stream;
use recount_core::{
    EventData, EventStore, EventType, Position, RecordedEvent, StoreError, StreamId, StreamVersion, Tag, Timestamp,
};
use recount_store_postgres::PostgresStore;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const BY_RECOUNT: &str = "import_by_recount";
const BY_HAND: &str = "import_by_hand";
const ROUNDS: usize = 5;
const PIECE: usize = 256 * 1024;
/// 1970 to 2000, in microseconds.
const EPOCH: i64 = 946_684_800_000_000;

/// 300 bytes, ten to a stream, one tag.
fn events(count: u64) -> Result<Vec<RecordedEvent>, Box<dyn Error>> {
    let event = |number: u64| {
        let payload = format!("{{\"number\":{number:0>287}}}");
        let data = EventData::new(EventType::new("order.placed")?, payload);
        Ok(RecordedEvent {
            position: Position::START,
            stream: StreamId::new("order", format!("{}", number % (count / 10).max(1)))?,
            version: StreamVersion::EMPTY,
            recorded_at: Timestamp::from_microsecond(1_500_000_000_000_000 + i64::try_from(number)?)?,
            data: EventData { tags: vec![Tag::pair("customer", number % 1000)?], ..data },
        })
    };
    (0..count).map(event).collect()
}

async fn fresh(url: &str, schema: &str) -> Result<PostgresStore, Box<dyn Error>> {
    let mut connection = PgConnection::connect(url).await?;
    let drop = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await?;
    Ok(PostgresStore::builder(url).schema(schema).open().await?)
}

async fn checkpoint(url: &str) -> Result<(), Box<dyn Error>> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
    Ok(())
}

async fn by_recount(url: &str, events: &[RecordedEvent]) -> Result<Duration, Box<dyn Error>> {
    let store = fresh(url, BY_RECOUNT).await?;
    checkpoint(url).await?;
    let started = Instant::now();
    let imported = store.import(stream::iter(events.iter().cloned().map(Ok::<_, StoreError>))).await?;
    let took = started.elapsed();
    assert_eq!(imported.written, events.len() as u64);
    store.close().await;
    Ok(took)
}

fn field(rows: &mut Vec<u8>, value: &[u8]) -> Result<(), Box<dyn Error>> {
    rows.extend_from_slice(&i32::try_from(value.len())?.to_be_bytes());
    rows.extend_from_slice(value);
    Ok(())
}

/// Copies everything at once: places known beforehand, no locks, no looks.
async fn copy<T>(
    connection: &mut PgConnection,
    table: &str,
    items: &[T],
    encode: impl Fn(&mut Vec<u8>, usize, &T) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut copy = connection.copy_in_raw(&format!("COPY {BY_HAND}.{table} FROM STDIN (FORMAT binary)")).await?;
    let mut rows = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for (index, item) in items.iter().enumerate() {
        encode(&mut rows, index, item)?;
        if rows.len() > PIECE {
            copy.send(&*rows).await?;
            rows.clear();
        }
    }
    rows.extend_from_slice(&(-1_i16).to_be_bytes());
    copy.send(&*rows).await?;
    copy.finish().await?;
    Ok(())
}

async fn by_hand(url: &str, events: &[RecordedEvent]) -> Result<Duration, Box<dyn Error>> {
    fresh(url, BY_HAND).await?.close().await;
    checkpoint(url).await?;
    let mut connection = PgConnection::connect(url).await?;
    let streams = (events.len() / 10).max(1);
    let started = Instant::now();
    let kind = "INSERT INTO import_by_hand.kinds (category, type, schema_version) VALUES ('order', 'order.placed', 1)";
    sqlx::raw_sql(kind).execute(&mut connection).await?;
    let mut transaction = connection.begin().await?;
    copy(&mut transaction, "events", events, |rows, index, event| {
        rows.extend_from_slice(&9_i16.to_be_bytes());
        field(rows, &i64::try_from(index + 1)?.to_be_bytes())?;
        field(rows, &i64::try_from(index / streams + 1)?.to_be_bytes())?;
        field(rows, &(event.recorded_at.as_microsecond() - EPOCH).to_be_bytes())?;
        field(rows, event.data.id.0.as_bytes())?;
        field(rows, &1_i32.to_be_bytes())?;
        field(rows, event.stream.to_string().as_bytes())?;
        field(rows, format!("[\"{}\"]", event.data.tags[0]).as_bytes())?;
        rows.extend_from_slice(&(-1_i32).to_be_bytes());
        field(rows, &event.data.payload)
    })
    .await?;
    copy(&mut transaction, "tags", events, |rows, index, event| {
        rows.extend_from_slice(&3_i16.to_be_bytes());
        field(rows, event.data.tags[0].as_str().as_bytes())?;
        field(rows, &i64::try_from(index + 1)?.to_be_bytes())?;
        field(rows, &1_i32.to_be_bytes())
    })
    .await?;
    transaction.commit().await?;
    Ok(started.elapsed())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("say which server: postgres://user@host/database")?;
    let count = arguments.next().map_or(Ok(200_000), |count| count.parse())?;
    let events = events(count)?;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let hand = by_hand(&url, &events).await?;
        let recount = by_recount(&url, &events).await?;
        let rate = |took: Duration| count as f64 / took.as_secs_f64() / 1000.0;
        let ratio = hand.as_secs_f64() / recount.as_secs_f64();
        println!("by hand {:6.1}k/s, by recount {:6.1}k/s, ratio {ratio:.2}", rate(hand), rate(recount));
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median of the ratios: {:.2}", ratios[ROUNDS / 2]);
    Ok(())
}

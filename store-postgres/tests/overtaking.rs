//! Appends that overtake each other: readers in another process see every event, once, in order, and soon.
//!
//! Writers and readers are the store as it is. Triggers make the database hesitate where it hurts: between drawing positions and the insert,
//! behind the insert, in the commit, and in a rollback. Each event says by its schema version how its append hesitates.
//! When events were committed tells the server itself, so the server is one that keeps these times.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::hesitate::{AFTER_INSERT, BEFORE_INSERT, HESITATE, IN_COMMIT, THEN_UNDO};
use common::process::{self, Killed};
use common::readers::{self, Readers};
use common::{execute_on, stream};
use recount_core::{Append, AppendError, EventStore, ExpectedVersion, RecordedEvent};
use recount_servers::Postgres;
use recount_store_postgres::PostgresStore;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::Mutex;

/// Processes that write, and how many stores each has: 24 appends are under way at once.
const PROCESSES: u64 = 3;
const STORES: u64 = 8;
/// How many events there are at least, and how long writing them takes at least.
const EVENTS: usize = 200_000;
const PACE: Duration = Duration::from_secs(40);
/// How far a reader may be behind the newest commit whose predecessors have ended.
const BEHIND: Duration = Duration::from_secs(2);

/// The head without the locks: what others do who read behind the last position.
const NAIVE: &str = "CREATE OR REPLACE FUNCTION recount.safe_head() RETURNS bigint LANGUAGE sql VOLATILE AS
    'SELECT last_value FROM recount.position_sequence'";

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What the spawned processes do; nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    match process::part().as_deref() {
        Some("write") => write().await,
        Some("read") => readers::read(Duration::from_secs(1), record).await,
        _ => {}
    }
}

async fn write() {
    let (url, seed) = (process::told("URL"), process::told("SEED").parse::<u64>().unwrap());
    let (first, events) = (process::told("FIRST").parse::<u64>().unwrap(), process::told("EVENTS").parse().unwrap());
    let writers = (first..first + STORES).map(|writer| {
        let url = url.clone();
        tokio::spawn(async move {
            let store = opened(&url).await;
            writer_of(store, writer, events, fastrand::Rng::with_seed(seed.wrapping_add(writer))).await
        })
    });
    let (mut acknowledged, mut unclear) = (0, 0);
    for writer in writers.collect::<Vec<_>>() {
        let (of_this, unclear_of_this) = writer.await.unwrap();
        acknowledged += of_this;
        unclear += unclear_of_this;
    }
    process::say(&format!("acknowledged {acknowledged} {unclear}"));
}

/// Opens the store. On a busy machine connections are ended before all writers have theirs.
async fn opened(url: &str) -> PostgresStore {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match PostgresStore::builder(url).pool(4).open().await {
            Ok(store) => return store,
            Err(error) => assert!(error.is_transient() && Instant::now() < until, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Appends until that many events are acknowledged; returns how many those are, and how many more may be there.
async fn writer_of(store: PostgresStore, writer: u64, events: usize, mut random: fastrand::Rng) -> (usize, usize) {
    let started = Instant::now();
    let (mut acknowledged, mut unclear) = (0, 0);
    while acknowledged < events {
        // A few large ones make up the number.
        let count = if random.u8(..10) == 0 { random.usize(400..900) } else { random.usize(1..12) };
        let mut batch = common::events(count);
        let mut undone = false;
        // Mostly short, now and then long enough for many others to overtake.
        let long = if random.u8(..8) == 0 { 400 } else { 40 };
        let hesitation = random.u32(0..long);
        let of = random.usize(..count);
        let asked = match random.u8(..10) {
            0 | 1 => BEFORE_INSERT + hesitation,
            2 | 3 => AFTER_INSERT + hesitation,
            4 | 5 => IN_COMMIT + hesitation,
            6 => {
                undone = true;
                THEN_UNDO + hesitation
            }
            _ => 0,
        };
        batch[of].metadata.actor = (asked > 0).then(|| asked.to_string().into());
        let to = stream(&format!("{writer}-{}", random.u8(..8)));
        match store.append(Append::to(to, ExpectedVersion::Any, batch)).await {
            Ok(_) => {
                assert!(!undone, "an append that was undone is acknowledged");
                acknowledged += count;
            }
            Err(AppendError::Store(error)) if undone || error.is_transient() => unclear += count,
            Err(error) => panic!("writer {writer}: {error:?}"),
        }
        // Not faster than readers can read on a small machine: what is measured is how late they learn.
        let due = PACE.mul_f64((acknowledged as u64 * PROCESSES * STORES) as f64 / EVENTS as f64);
        let early = due.saturating_sub(started.elapsed());
        tokio::time::sleep(early.mul_f64(random.f64() * 2.0)).await;
    }
    (acknowledged, unclear)
}

fn record(seen: &mut dyn Write, event: &RecordedEvent) {
    seen.write_all(&event.position.get().to_le_bytes()).unwrap();
    seen.write_all(&now().to_le_bytes()).unwrap();
}

fn seen(file: &Path) -> Vec<(i64, f64)> {
    let mut bytes = Vec::new();
    std::fs::File::open(file).unwrap().read_to_end(&mut bytes).unwrap();
    let of = |half: &[u8]| <[u8; 8]>::try_from(half).unwrap();
    bytes.chunks(16).map(|pair| (i64::from_le_bytes(of(&pair[..8])), f64::from_le_bytes(of(&pair[8..])))).collect()
}

/// What one run came to.
#[derive(Debug, Default)]
struct Report {
    events: usize,
    undone_seen: i64,
    missed: usize,
    doubled: usize,
    out_of_order: usize,
    /// Events that became visible in another order than that of their positions.
    overtaken: usize,
    kills: u32,
    behind: Duration,
}

/// Writers, readers and trouble on one server; and what the log and the readers say afterwards.
async fn run(seed: u64, events: usize, naive: bool) -> Report {
    let settings = ["track_commit_timestamp=on", "max_wal_size=4GB"];
    let server = tokio::task::spawn_blocking(move || Postgres::start(&settings).unwrap()).await.unwrap();
    let url = server.url();
    // A checker with SQL of its own.
    let mut checker = PgConnection::connect(&url).await.unwrap();
    PostgresStore::open(&url).await.unwrap().close().await;
    execute_on(&mut checker, HESITATE).await.unwrap();
    if naive {
        execute_on(&mut checker, NAIVE).await.unwrap();
    }
    // The keys of positions, which have 31 bits, begin anew in the middle of the run.
    let start = (1_i64 << 31) - events as i64 / 2;
    execute_on(&mut checker, &format!("SELECT setval('recount.position_sequence', {start})")).await.unwrap();
    let idle = forget_a_transaction(&url).await;
    let locks = hold_foreign_locks(&server, &mut checker).await;

    let directory = std::env::temp_dir().join(format!("recount-seen-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let of_all = |more: &[(&'static str, String)]| [&[("URL", url.clone())], more].concat();
    let readers = Readers::start(&url, &directory);
    let writers: Vec<_> = (0..PROCESSES)
        .map(|number| {
            let first = number * STORES;
            let each = events / (PROCESSES * STORES) as usize + 1;
            let more = [("SEED", seed.to_string()), ("FIRST", first.to_string()), ("EVENTS", each.to_string())];
            Killed(process::spawn("write", &of_all(&more)))
        })
        .collect();
    let kills = Arc::new(AtomicU32::new(0));
    let killing = tokio::spawn(kill_backends(url.clone(), seed, kills.clone()));
    let mut acknowledged = 0;
    for mut writer in writers {
        let waiting = tokio::task::spawn_blocking(move || {
            let mut said = String::new();
            writer.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(writer.0.wait().unwrap().success(), "{said}");
            said
        });
        let said = waiting.await.unwrap();
        let counts = said.split_once("acknowledged ").expect("a writer that ends well").1;
        acknowledged += counts.split_whitespace().next().unwrap().parse::<usize>().unwrap();
    }
    killing.abort();

    let head: i64 =
        sqlx::query_scalar("SELECT max(position) FROM recount.events").fetch_one(&mut checker).await.unwrap();
    readers.end(head).await;

    let select = "SELECT position, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8, asked(metadata)
        FROM recount.events ORDER BY position";
    let log: Vec<(i64, f64, i32)> = sqlx::query(select)
        .map(|row: sqlx::postgres::PgRow| (row.get(0), row.get(1), row.get(2)))
        .fetch_all(&mut checker)
        .await
        .unwrap();
    assert!(log.len() >= acknowledged, "{} events are there, {acknowledged} were acknowledged", log.len());
    let mut report = Report { events: log.len(), kills: kills.load(Ordering::Relaxed), ..Report::default() };
    report.undone_seen = log.iter().filter(|(.., asked)| asked.cast_unsigned() >= THEN_UNDO).count() as i64;
    report.overtaken = log.windows(2).filter(|pair| pair[0].1 > pair[1].1).count();
    // When everything up to an event had ended: those that came to nothing are not counted, which is strict.
    let mut ready: HashMap<i64, f64> = HashMap::new();
    let mut latest = 0.0_f64;
    for (position, committed, _) in &log {
        latest = latest.max(*committed);
        ready.insert(*position, latest);
    }
    for number in ["0", "1"] {
        let seen = seen(&directory.join(number));
        let distinct: HashSet<i64> = seen.iter().map(|(position, _)| *position).collect();
        report.doubled += seen.len() - distinct.len();
        report.out_of_order += seen.windows(2).filter(|pair| pair[0].0 >= pair[1].0).count();
        report.missed += log.iter().filter(|(position, ..)| !distinct.contains(position)).count();
        let behind = seen.iter().filter_map(|(position, at)| Some(at - ready.get(position)?)).fold(0.0, f64::max);
        report.behind = report.behind.max(Duration::from_secs_f64(behind));
    }
    std::fs::remove_dir_all(&directory).unwrap();
    drop((idle, locks));
    report
}

/// Somebody began a transaction, wrote something, and went home.
async fn forget_a_transaction(url: &str) -> PgConnection {
    let mut idle = PgConnection::connect(url).await.unwrap();
    execute_on(&mut idle, "CREATE TABLE other (n int)").await.unwrap();
    execute_on(&mut idle, "BEGIN").await.unwrap();
    execute_on(&mut idle, "INSERT INTO other VALUES (1)").await.unwrap();
    idle
}

/// Somebody else uses advisory locks of both kinds here, and in another database the very keys of this store.
async fn hold_foreign_locks(server: &Postgres, checker: &mut PgConnection) -> [PgConnection; 2] {
    execute_on(checker, "CREATE DATABASE other").await.unwrap();
    let key: String = sqlx::query_scalar(
        "SELECT coalesce(substring(pg_get_functiondef('recount.safe_head'::regproc) FROM 'classid = ([0-9]+)'), '1')",
    )
    .fetch_one(checker)
    .await
    .unwrap();
    let mut here = PgConnection::connect(&server.url()).await.unwrap();
    let unrelated = "SELECT pg_advisory_lock(n), pg_advisory_lock_shared(n, n) FROM generate_series(0, 200) AS n";
    execute_on(&mut here, unrelated).await.unwrap();
    let mut there = PgConnection::connect(&server.url_of("other")).await.unwrap();
    let same = format!("SELECT pg_advisory_lock_shared({key}, n) FROM generate_series(0, 200) AS n");
    execute_on(&mut there, &same).await.unwrap();
    [here, there]
}

/// Ends one session of the store after another, of writers, readers and listeners alike.
async fn kill_backends(url: String, seed: u64, kills: Arc<AtomicU32>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut shell = PgConnection::connect(&url).await.unwrap();
    loop {
        tokio::time::sleep(Duration::from_millis(random.u64(100..600))).await;
        // A part of them in the middle of an append.
        let which = if random.bool() { "state = 'active'" } else { "true" };
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'recount' AND {which} ORDER BY random() LIMIT 1"
        );
        kills.fetch_add(u32::from(execute_on(&mut shell, &kill).await.unwrap() > 0), Ordering::Relaxed);
    }
}

/// One after the other: readers who get too little of the machine read so late that nothing is left to overtake them.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_in_another_process_miss_nothing_and_stay_close() {
    let _alone = ALONE.lock().await;
    let started = Instant::now();
    let report = run(process::seed(), EVENTS, false).await;
    println!("{report:?} in {:?}", started.elapsed());
    assert!(report.events >= EVENTS);
    assert!(report.kills > 10, "{} backends were killed", report.kills);
    assert!(report.overtaken > 100, "the writers hardly overtook each other");
    let wrong = (report.undone_seen, report.missed, report.doubled, report.out_of_order);
    assert_eq!(wrong, (0, 0, 0, 0), "undone but there, missed, doubled, out of order");
    assert!(report.behind <= BEHIND, "a reader was {:?} behind", report.behind);
}

/// The same test finds what is missed by readers that go by the last position alone; so it can fail.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_locks_readers_miss_events() {
    let _alone = ALONE.lock().await;
    let report = run(process::seed(), EVENTS / 20, true).await;
    println!("{report:?}");
    assert!(report.missed > 0, "nothing was missed");
    assert_eq!((report.undone_seen, report.doubled, report.out_of_order), (0, 0, 0));
}

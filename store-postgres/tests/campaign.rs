//! A campaign of rollbacks, refused duplicates, terminated backends and server crashes. Subscribers in another process
//! see every event once and in order, and every acknowledged event is in the store.
//!
//! `RECOUNT_CAMPAIGN` sets the number of events of a run; the default is 50,000.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::hesitate::{HESITATE, IN_COMMIT, THEN_UNDO};
use common::readers::{self, Readers};
use common::{execute_on, process, restart, stream};
use recount_core::{
    Append, AppendError, EventData, EventStore, ExpectedVersion, IdempotencyKey, RecordedEvent, StoreError,
};
use recount_servers::Postgres;
use recount_store_postgres::PostgresStore;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::Mutex;
use uuid::Uuid;

const EVENTS: usize = 50_000;
const STOPS: usize = 10;
const STORES: usize = 3;
const WRITERS: usize = 12;
/// The time before a crash in which appends draw positions and commit nothing.
const STORM: Duration = Duration::from_millis(150);
const QUIET: Duration = Duration::from_millis(60);

/// Settings under which a crash loses every unflushed write: no background process writes the log.
const LAZY: [&str; 4] =
    ["wal_writer_delay=10s", "checkpoint_timeout=1h", "bgwriter_lru_maxpages=0", "max_wal_size=4GB"];

/// Installs the behaviour of earlier versions: they remembered uncommitted positions, even across server restarts.
const REMEMBER_DRAWN: &str = "
    CREATE OR REPLACE FUNCTION recount.head(safe_before bigint, OUT last bigint, OUT kinds bigint, OUT server bigint)
    LANGUAGE plpgsql VOLATILE AS $$ BEGIN
        last := greatest(recount.safe_head(), safe_before);
        kinds := (SELECT count(*) FROM recount.kinds);
        server := (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint;
    END $$;
    CREATE FUNCTION public.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2000-01-02' $$;
    ALTER DATABASE postgres SET search_path = public, pg_catalog;";

#[tokio::test(flavor = "multi_thread")]
async fn child() {
    if process::part().as_deref() == Some("read") {
        readers::read(Duration::from_millis(10), record).await;
    }
}

fn record(seen: &mut dyn Write, event: &RecordedEvent) {
    seen.write_all(&event.position.get().to_le_bytes()).unwrap();
    seen.write_all(event.data.id.0.as_bytes()).unwrap();
}

fn seen(file: &Path) -> Vec<(i64, Uuid)> {
    let mut bytes = Vec::new();
    std::fs::File::open(file).unwrap().read_to_end(&mut bytes).unwrap();
    let pair = |pair: &[u8]| {
        let position = i64::from_le_bytes(pair[..8].try_into().unwrap());
        (position, Uuid::from_slice(&pair[8..]).unwrap())
    };
    bytes.chunks(24).map(pair).collect()
}

/// The state that the writers share.
#[derive(Default)]
struct Shared {
    acknowledged: AtomicUsize,
    /// Writers make only appends that fail.
    storm: AtomicBool,
    /// Writers make no appends, so that subscribers ask for the head after the last position was drawn.
    quiet: AtomicBool,
    done: AtomicBool,
}

/// The events of appends, by outcome.
#[derive(Default)]
struct Outcomes {
    acknowledged: Vec<Vec<Uuid>>,
    unknown: Vec<Vec<Uuid>>,
    /// Rolled back, refused, or not attempted.
    failed: Vec<Vec<Uuid>>,
    refused: usize,
}

async fn write(store: PostgresStore, writer: usize, shared: Arc<Shared>, mut random: fastrand::Rng) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut recorded: Option<EventData> = None;
    while !shared.done.load(Ordering::SeqCst) {
        if shared.quiet.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let duplicate = shared.storm.load(Ordering::SeqCst) || random.u8(..8) == 0;
        let mut events = common::events(random.usize(5..90));
        // A refused append draws all of its positions before its first event is refused: it draws many and logs little.
        let of = if duplicate { 0 } else { random.usize(..events.len()) };
        if let (true, Some(recorded)) = (duplicate, &recorded) {
            events[of] = recorded.clone();
        } else if shared.storm.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let refused = duplicate && recorded.is_some();
        let undone = !refused && random.u8(..10) == 0;
        let hesitates = !refused && !undone && random.u8(..4) == 0;
        let asked = match (undone, hesitates) {
            (true, _) => THEN_UNDO,
            (_, true) => IN_COMMIT + random.u32(1..60),
            _ => 0,
        };
        events[of].metadata.actor = (asked > 0).then(|| asked.to_string().into());
        let new: Vec<Uuid> = events.iter().map(|event| event.id.0).collect();
        let first = events[0].clone();
        let to = stream(&format!("{writer}-{}", random.u8(..4)));
        let append = Append::to(to, ExpectedVersion::Any, events);
        let keyed = refused || !undone && random.bool();
        let key = IdempotencyKey::new(Uuid::from_u128(random.u128(..)).to_string()).unwrap();
        let append = if keyed { append.idempotency_key(key) } else { append };
        let outcome = loop {
            match store.append(append.clone()).await {
                // The repetition returns the outcome under the key.
                Err(AppendError::Store(StoreError::OutcomeUnknown { .. })) if keyed => {}
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(_) => {
                assert!(!undone && !refused, "an append that can't be is acknowledged");
                shared.acknowledged.fetch_add(new.len(), Ordering::SeqCst);
                outcomes.acknowledged.push(new);
                recorded = Some(first);
            }
            Err(AppendError::DuplicateEvent { .. }) if refused => outcomes.refused += 1,
            Err(AppendError::Store(StoreError::OutcomeUnknown { .. })) if refused || undone => {}
            Err(AppendError::Store(StoreError::OutcomeUnknown { .. })) => outcomes.unknown.push(new),
            Err(AppendError::Store(error)) if refused || undone || error.is_transient() => {
                if !refused {
                    outcomes.failed.push(new);
                }
            }
            Err(error) => panic!("writer {writer}: {error:?}"),
        }
    }
    outcomes
}

/// Terminates random server processes of writers and readers.
async fn kill_backends(url: String, mut random: fastrand::Rng, kills: Arc<AtomicUsize>) {
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'recount' AND state = 'active' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1";
    loop {
        tokio::time::sleep(Duration::from_millis(random.u64(50..300))).await;
        // The server may be down.
        let Ok(mut shell) = PgConnection::connect(&url).await else { continue };
        kills.fetch_add(
            execute_on(&mut shell, kill).await.map_or(0, |killed| usize::from(killed > 0)),
            Ordering::SeqCst,
        );
    }
}

/// The result of a run.
#[derive(Debug, Default)]
struct Report {
    events: usize,
    stops: usize,
    kills: usize,
    refused: usize,
    unknown: usize,
    failed: usize,
    missed: usize,
    doubled: usize,
    out_of_order: usize,
    /// Seen by a subscriber, but not in the store at the end.
    phantoms: usize,
}

async fn run(seed: u64, events: usize, stops: usize, mutant: bool) -> Report {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = tokio::task::spawn_blocking(|| Postgres::start(&LAZY).unwrap()).await.unwrap();
    let url = server.url();
    PostgresStore::open(&url).await.unwrap().close().await;
    let mut shell = PgConnection::connect(&url).await.unwrap();
    execute_on(&mut shell, HESITATE).await.unwrap();
    if mutant {
        execute_on(&mut shell, REMEMBER_DRAWN).await.unwrap();
    }
    drop(shell);
    let directory = std::env::temp_dir().join(format!("recount-campaign-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let readers = Readers::start(&url, &directory);

    let shared = Arc::new(Shared::default());
    let mut writers = Vec::new();
    for _ in 0..STORES {
        let store = PostgresStore::open(&url).await.unwrap();
        for _ in 0..WRITERS / STORES {
            writers.push(tokio::spawn(write(store.clone(), writers.len(), shared.clone(), random.fork())));
        }
    }
    let kills = Arc::new(AtomicUsize::new(0));
    let killing = tokio::spawn(kill_backends(url.clone(), random.fork(), kills.clone()));
    let mut report = Report::default();
    let mut due = 0;
    while report.stops < stops || shared.acknowledged.load(Ordering::SeqCst) < events {
        due += events / stops;
        let started = Instant::now();
        while shared.acknowledged.load(Ordering::SeqCst) < due && started.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
        shared.storm.store(mutant || random.u8(..4) > 0, Ordering::SeqCst);
        tokio::time::sleep(STORM).await;
        shared.quiet.store(mutant || random.bool(), Ordering::SeqCst);
        tokio::time::sleep(QUIET).await;
        server = restart(server).await;
        report.stops += 1;
        shared.storm.store(false, Ordering::SeqCst);
        shared.quiet.store(false, Ordering::SeqCst);
        due = due.max(shared.acknowledged.load(Ordering::SeqCst));
    }
    shared.done.store(true, Ordering::SeqCst);
    let mut outcomes = Outcomes::default();
    for writer in writers {
        let of = writer.await.unwrap();
        outcomes.acknowledged.extend(of.acknowledged);
        outcomes.unknown.extend(of.unknown);
        outcomes.failed.extend(of.failed);
        outcomes.refused += of.refused;
    }
    killing.abort();

    let mut checker = PgConnection::connect(&url).await.unwrap();
    let log: Vec<(i64, Uuid)> = sqlx::query("SELECT position, event_id FROM recount.events ORDER BY position")
        .map(|row: sqlx::postgres::PgRow| (row.get(0), row.get(1)))
        .fetch_all(&mut checker)
        .await
        .unwrap();
    readers.end(log.last().unwrap().0).await;

    let there: HashSet<Uuid> = log.iter().map(|(_, id)| *id).collect();
    assert_eq!(there.len(), log.len(), "an event is there twice");
    let count = |append: &Vec<Uuid>| append.iter().filter(|id| there.contains(id)).count();
    assert!(outcomes.acknowledged.iter().all(|append| count(append) == append.len()), "an acknowledged append is lost");
    assert!(outcomes.failed.iter().all(|append| count(append) == 0), "a failed append is there");
    assert!(
        outcomes.unknown.iter().all(|append| [0, append.len()].contains(&count(append))),
        "half an append is there"
    );

    let positions: HashMap<i64, Uuid> = log.iter().copied().collect();
    for number in ["0", "1"] {
        let seen = seen(&directory.join(number));
        let distinct: HashSet<i64> = seen.iter().map(|(position, _)| *position).collect();
        report.doubled += seen.len() - distinct.len();
        report.out_of_order += seen.windows(2).filter(|pair| pair[0].0 >= pair[1].0).count();
        report.missed += log.iter().filter(|(position, _)| !distinct.contains(position)).count();
        report.phantoms += seen.iter().filter(|(position, id)| positions.get(position) != Some(id)).count();
    }
    std::fs::remove_dir_all(&directory).unwrap();
    report.events = log.len();
    report.kills = kills.load(Ordering::SeqCst);
    (report.refused, report.unknown, report.failed) = (outcomes.refused, outcomes.unknown.len(), outcomes.failed.len());
    report
}

/// Serializes the tests.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscribers_see_every_event_despite_rollbacks_refusals_kills_and_crashes() {
    let _alone = ALONE.lock().await;
    let events = std::env::var("RECOUNT_CAMPAIGN").ok().and_then(|events| events.parse().ok()).unwrap_or(EVENTS);
    let stops = STOPS.max(events / (EVENTS / STOPS));
    let started = Instant::now();
    let report = run(process::seed(), events, stops, false).await;
    println!("{report:?} in {:?}", started.elapsed());
    assert!(report.events >= events && report.stops >= stops);
    assert!(report.kills > 0 && report.refused > 0 && report.failed > 0, "{report:?}");
    let wrong = (report.missed, report.doubled, report.out_of_order, report.phantoms);
    assert_eq!(wrong, (0, 0, 0, 0), "missed, doubled, out of order, phantoms");
}

/// The campaign detects missed events: it fails for a store that remembers uncommitted positions.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_remembers_drawn_positions_misses_events() {
    let _alone = ALONE.lock().await;
    let report = run(process::seed(), EVENTS / 5, STOPS, true).await;
    println!("{report:?}");
    assert!(report.missed > 0, "nothing was missed");
}

//! The network loses what the server says: everything ends in time, with an error that tells to try again, and then works again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::proxy::{Proxy, behind_a_proxy};
use common::{Fresh, append, execute_on, read, stream};
use futures_util::TryStreamExt;
use futures_util::future::{BoxFuture, join_all};
use recount_core::{
    AppendError, EventData, EventId, EventStore, ExpectedRevision, IdempotencyKey, Position, Query, ReadAll,
    ReadStream, RecordedEvent, StateError, StateKey, StateStore, StoreError, StreamVersion, Timestamp,
};
use recount_servers::Postgres;
use recount_store_postgres::{ImportError, PostgresStore};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(3);
/// For connections that were just used, and for those that rested.
const RESTS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(1500)];

async fn server() -> Postgres {
    tokio::task::spawn_blocking(|| Postgres::start(&[]).unwrap()).await.unwrap()
}

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, future).await.expect("it ends in time")
}

async fn open(url: &str) -> PostgresStore {
    let never = Duration::from_secs(3600);
    PostgresStore::builder(url).patience(PATIENCE).poll(never).open().await.unwrap()
}

fn state_key() -> StateKey {
    StateKey::new("k").unwrap()
}

fn written<T>(outcome: Result<T, StateError>) -> Result<(), StoreError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(StateError::Store(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// Everything that asks the server, other than appends.
fn operations(store: &PostgresStore) -> Vec<(&'static str, BoxFuture<'_, Result<(), StoreError>>)> {
    vec![
        (
            "read_stream",
            Box::pin(
                async move { store.read_stream(ReadStream::new(stream("a"))).try_collect::<Vec<_>>().await.map(drop) },
            ),
        ),
        (
            "read_all",
            Box::pin(async move { store.read_all(ReadAll::new(Query::all())).try_collect::<Vec<_>>().await.map(drop) }),
        ),
        ("find_append", Box::pin(async move { store.find_append(&IdempotencyKey::new("k").unwrap()).await.map(drop) })),
        ("head", Box::pin(async move { store.head().await.map(drop) })),
        ("health", Box::pin(async move { store.health().await })),
        ("archive", Box::pin(async move { store.archive(&stream("b")).await })),
        ("erase", Box::pin(async move { store.erase(&stream("c")).await })),
        ("get", Box::pin(async move { store.get(&state_key()).await.map(drop) })),
        ("list", Box::pin(async move { store.list(recount_core::Namespace::USER, "", None, 10).await.map(drop) })),
        (
            "put",
            Box::pin(async move {
                written(store.put(&state_key(), Bytes::from_static(b"v"), ExpectedRevision::Any, None).await.map(drop))
            }),
        ),
        ("delete", Box::pin(async move { written(store.delete(&state_key(), ExpectedRevision::Any).await) })),
    ]
}

/// A store with some streams, behind a proxy.
async fn prepared() -> (Postgres, Proxy, PostgresStore) {
    let server = server().await;
    let (proxy, url) = behind_a_proxy(&server).await;
    let store = open(&url).await;
    for id in ["a", "b", "c"] {
        store.append(append(id, 3)).await.unwrap();
    }
    (server, proxy, store)
}

/// Until so many connections are there that will fall silent.
async fn warm(store: &PostgresStore) {
    let reads = (0..20).map(|_| store.read_stream(ReadStream::new(stream("a"))).try_collect::<Vec<_>>());
    join_all(reads).await.into_iter().for_each(|read| drop(read.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_network_swallows_is_unavailable_in_time_and_works_again_after() {
    let (_server, proxy, store) = prepared().await;
    for rest in RESTS {
        warm(&store).await;
        tokio::time::sleep(rest).await;
        proxy.dead.store(true, Ordering::SeqCst);
        let all = operations(&store).into_iter().map(async |(name, operation)| {
            let started = Instant::now();
            let outcome = within(PATIENCE * 3, operation).await;
            println!("{name}: {outcome:?} after {:?}", started.elapsed());
            let error = outcome.expect_err(name);
            assert!(
                matches!(error, StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. }),
                "{name}: {error:?}"
            );
            assert!(error.is_transient(), "{name}: {error:?}");
            assert!(started.elapsed() < PATIENCE * 2, "{name} took {:?}", started.elapsed());
        });
        join_all(all).await;
        proxy.dead.store(false, Ordering::SeqCst);
        for (name, operation) in operations(&store) {
            within(PATIENCE * 2, operation).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
    }
}

/// They need not wait for a connection that somebody else began to open when nothing came through.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_patience_left_when_the_network_is_back_is_served() {
    // Whenever that begins.
    join_all((0..4).map(|quarter| back_after(PATIENCE + PATIENCE * quarter / 4))).await;
}

/// Somebody calls ten times a second. Those whose patience lasts for two more seconds when the network is back are served.
async fn back_after(silence: Duration) {
    const PAUSE: Duration = Duration::from_millis(100);
    let (_server, proxy, store) = prepared().await;
    proxy.dead.store(true, Ordering::SeqCst);
    let died = Instant::now();
    let mut calls = Vec::new();
    while died.elapsed() < silence {
        let store = store.clone();
        calls.push((died.elapsed(), tokio::spawn(async move { store.head().await })));
        tokio::time::sleep(PAUSE).await;
    }
    proxy.dead.store(false, Ordering::SeqCst);
    for (came, call) in calls {
        let outcome = within(PATIENCE * 2, call).await.unwrap();
        let late = came + PATIENCE > silence + Duration::from_secs(2);
        assert!(!late || outcome.is_ok(), "back after {silence:?}, who came after {came:?}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fell_silent_are_replaced() {
    let (_server, proxy, store) = prepared().await;
    for rest in RESTS {
        warm(&store).await;
        tokio::time::sleep(rest).await;
        proxy.silent.store(true, Ordering::SeqCst);
        let all = operations(&store).into_iter().map(async |(name, operation)| {
            let mut outcome = within(PATIENCE * 3, operation).await;
            // If it met too many of them, its time was over. Whoever asks again meets none.
            if matches!(outcome, Err(StoreError::Unavailable { .. })) {
                let again = operations(&store).into_iter().find(|(other, _)| *other == name).unwrap().1;
                outcome = within(PATIENCE * 2, again).await;
            }
            // What can't be repeated may have happened.
            let unknown = matches!(name, "put" | "delete") && matches!(outcome, Err(StoreError::OutcomeUnknown { .. }));
            assert!(unknown || outcome.is_ok(), "{name}: {outcome:?}");
        });
        join_all(all).await;
        proxy.silent.store(false, Ordering::SeqCst);
    }
}

/// However long it takes: here for the lock of somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_works_at_is_waited_for() {
    let fresh = Fresh::new().await;
    let store = PostgresStore::builder(&fresh.url()).patience(Duration::from_secs(1)).pool(5).open().await.unwrap();
    store.append(append("a", 3)).await.unwrap();
    let mut shell = fresh.shell().await;
    execute_on(&mut shell, "BEGIN; LOCK TABLE recount.events IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let reading = {
        let store = store.clone();
        tokio::spawn(async move { read(&store, "a").await.len() })
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!reading.is_finished());
    execute_on(&mut shell, "ROLLBACK").await.unwrap();
    assert_eq!(within(Duration::from_secs(5), reading).await.unwrap(), 3);
}

/// Callers who go away leave nothing that counts as in use for ever.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_dropped_in_the_silence_do_not_use_up_the_pool() {
    let (_server, proxy, store) = prepared().await;
    warm(&store).await;
    proxy.silent.store(true, Ordering::SeqCst);
    let reads = (0..20).map(|_| {
        let read = store.read_stream(ReadStream::new(stream("a"))).try_collect::<Vec<_>>();
        tokio::time::timeout(Duration::from_millis(100), read)
    });
    assert!(join_all(reads).await.iter().any(Result::is_err));
    let started = Instant::now();
    while let Err(error) = within(PATIENCE * 3, store.head()).await {
        assert!(error.is_transient() && started.elapsed() < PATIENCE * 3, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_into_a_dead_network_is_unavailable_in_time() {
    let server = server().await;
    let (proxy, url) = behind_a_proxy(&server).await;
    open(&url).await.close().await;
    proxy.dead.store(true, Ordering::SeqCst);
    let started = Instant::now();
    let outcome = within(PATIENCE * 3, PostgresStore::builder(&url).patience(PATIENCE).open()).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    assert!(started.elapsed() < PATIENCE * 2, "{:?}", started.elapsed());
}

/// Without any poll: only the connection that listens can tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_hears_nothing_any_more_is_replaced() {
    let server = server().await;
    let (proxy, url) = behind_a_proxy(&server).await;
    let (store, other) = (open(&url).await, open(&server.url()).await);
    let mut watch = store.watch();
    let wakes = async |watch: &mut tokio::sync::watch::Receiver<_>| {
        watch.borrow_and_update();
        other.append(append("a", 1)).await.unwrap();
        tokio::time::timeout(PATIENCE * 2, watch.changed()).await.is_ok()
    };
    assert!(wakes(&mut watch).await);
    for round in 0..2 {
        proxy.silent.store(true, Ordering::SeqCst);
        let started = Instant::now();
        // Not for a single connection made anew, but from then on.
        while !wakes(&mut watch).await {
            assert!(started.elapsed() < PATIENCE * 8, "round {round}");
        }
        assert!(wakes(&mut watch).await);
        proxy.silent.store(false, Ordering::SeqCst);
    }
    // Those of old don't stay at the server: one of each store's is left.
    let listeners = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_notify(%' AND state = 'idle'";
    let mut shell = PgConnection::connect(&server.url()).await.unwrap();
    let started = Instant::now();
    while sqlx::query_scalar::<_, i64>(listeners).fetch_one(&mut shell).await.unwrap() != 2 {
        assert!(started.elapsed() < PATIENCE * 2);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn many() -> impl futures_util::Stream<Item = Result<RecordedEvent, StoreError>> + Send {
    futures_util::stream::iter((1..=30_000_u32).map(|number| {
        Ok(RecordedEvent {
            position: Position::START,
            // Of so many streams that the import locks everything.
            stream: stream(&(number % 3000).to_string()),
            version: StreamVersion::EMPTY,
            recorded_at: Timestamp::UNIX_EPOCH,
            data: EventData { id: EventId(Uuid::from_u128(number.into())), ..common::event() },
        })
    }))
}

/// An import goes on when its connection falls silent; in a dead network it ends in time, and nobody else is held up.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_does_not_wait_for_what_got_lost() {
    let server = server().await;
    let (proxy, url) = behind_a_proxy(&server).await;
    let (store, other) = (open(&url).await, open(&server.url()).await);
    let import = || {
        let store = store.clone();
        tokio::spawn(async move { store.import(many()).await })
    };
    let importing = import();
    let mut watch = other.watch();
    within(PATIENCE * 10, watch.wait_for(|head| head.get() >= 5000)).await.unwrap();
    proxy.dead.store(true, Ordering::SeqCst);
    let started = Instant::now();
    let outcome = within(PATIENCE * 5, importing).await.unwrap();
    let Err(ImportError::Store(AppendError::Store(error))) = outcome else { panic!("{outcome:?}") };
    assert!(error.is_transient(), "{error:?}");
    within(PATIENCE * 2, other.append(append("x", 1))).await.unwrap();
    println!("{:?}", started.elapsed());
    proxy.dead.store(false, Ordering::SeqCst);

    let importing = import();
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.silent.store(true, Ordering::SeqCst);
    let imported = within(PATIENCE * 20, importing).await.unwrap().unwrap();
    assert_eq!(imported.written + imported.skipped, 30_000);
    assert!(imported.skipped >= 5000);
    let read: Vec<_> = other.read_all(ReadAll::new(Query::all())).try_collect().await.unwrap();
    assert_eq!(read.len(), 30_001);
}

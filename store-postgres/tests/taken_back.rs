//! Remembered state that a server loses: uncommitted positions in a crash, and any state when a server takes over
//! without the last commits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use common::{append, read_all, restart, stream};
use futures_util::StreamExt;
use recount_core::{
    Append, AppendError, Delivery, EventData, EventStore, EventType, ExpectedVersion, Position, Query, QueryItem,
    ReadAll, ReadStream, Recount, StoreError, StreamVersion,
};
use recount_servers::Postgres;
use recount_store_postgres::PostgresStore;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::mpsc;

/// Settings under which a crash loses every unflushed write: no background process writes the log.
const LAZY: [&str; 3] = ["wal_writer_delay=10s", "checkpoint_timeout=1h", "bgwriter_lru_maxpages=0"];
const SOON: Duration = Duration::from_secs(10);

async fn server() -> Postgres {
    tokio::task::spawn_blocking(|| Postgres::start(&LAZY).unwrap()).await.unwrap()
}

async fn with(mut server: Postgres, change: impl FnOnce(&mut Postgres) + Send + 'static) -> Postgres {
    let changed = tokio::task::spawn_blocking(move || {
        change(&mut server);
        server
    });
    changed.await.unwrap()
}

/// Appends a recorded event again: each attempt draws a position and is rolled back.
async fn refuse(store: &PostgresStore, times: usize) {
    let event = common::event();
    let once = || Append::to(stream("refused"), ExpectedVersion::Any, vec![event.clone()]);
    store.append(once()).await.unwrap();
    for _ in 0..times {
        let refused = store.append(once()).await;
        assert!(matches!(refused, Err(AppendError::DuplicateEvent { .. })), "{refused:?}");
    }
}

/// The positions that a subscriber of this store sees.
fn follow(store: &PostgresStore, after: Position) -> mpsc::UnboundedReceiver<Position> {
    let mut subscription = Recount::new(store.clone()).subscribe(Query::all(), after);
    let (seen, positions) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(delivery) = subscription.next().await {
            if let Ok(Delivery::Event(event)) = delivery
                && seen.send(event.position).is_err()
            {
                return;
            }
        }
    });
    positions
}

async fn next(seen: &mut mpsc::UnboundedReceiver<Position>) -> Position {
    tokio::time::timeout(SOON, seen.recv()).await.expect("it is seen soon").unwrap()
}

/// Appends until the server answers again.
async fn append_again(store: &PostgresStore, id: &str) -> Position {
    loop {
        match store.append(append(id, 1)).await {
            Ok(appended) => return appended.position,
            Err(AppendError::Store(error)) => assert!(error.is_transient(), "{error:?}"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Commits an append while another one with an earlier position is in flight: `seen` must get both in order.
async fn overtake(server: &Postgres, store: &PostgresStore, seen: &mut mpsc::UnboundedReceiver<Position>) {
    let pool = PgPool::connect(&server.url()).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let first = store.append_in(&mut transaction, append("first", 1)).await.unwrap().position;
    let second = store.append(append("second", 1)).await.unwrap().position;
    assert!(first < second);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let head = store.head().await.unwrap();
    assert!(head < first, "the head is {head}, {first} is not committed");
    assert!(read_all(store).await.iter().all(|event| event.position < first), "a read passes what is under way");
    transaction.commit().await.unwrap();
    assert_eq!((next(seen).await, next(seen).await), (first, second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_sees_every_event_whose_position_a_crash_issued_anew() {
    let server = server().await;
    let store = PostgresStore::open(&server.url()).await.unwrap();
    for _ in 0..3 {
        store.append(append("a", 1)).await.unwrap();
    }
    refuse(&store, 200).await;
    // The last positions were drawn, but not committed.
    let head = store.head().await.unwrap();
    let server = restart(server).await;
    let mut seen = follow(&store, head);
    let again = append_again(&store, "a").await;
    assert!(again.get() < 200, "the sequence did not fall back: {again}");
    assert_eq!(next(&mut seen).await, again);
    overtake(&server, &store, &mut seen).await;
}

/// A read that continues over a crash has bounds from before the crash.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_over_a_crash_ends_before_positions_that_are_issued_anew() {
    let server = server().await;
    let store = PostgresStore::open(&server.url()).await.unwrap();
    store.append(append("a", 200)).await.unwrap();
    refuse(&store, 200).await;
    // The first page is read. The next one is not yet requested, because the first is not consumed.
    let mut reading = store.read_all(ReadAll::new(Query::all()));
    let first = reading.next().await.unwrap().unwrap().position;
    assert_eq!(first.get(), 1);
    let head = store.head().await.unwrap();
    let server = restart(server).await;
    append_again(&store, "a").await;
    let pool = PgPool::connect(&server.url()).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let under_way = store.append_in(&mut transaction, append("first", 1)).await.unwrap().position;
    let later = store.append(append("second", 1)).await.unwrap().position;
    assert!(head < under_way && under_way < later && later.get() < 400, "{head} {under_way} {later}");
    while let Some(event) = reading.next().await {
        let position = event.unwrap().position;
        assert!(position < under_way, "the read gives {position}, though {under_way} is not committed");
    }
    transaction.commit().await.unwrap();
}

/// A server takes over without the last commits, and gets other events and kinds in their place.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_invalidates_remembered_positions_and_kinds() {
    let server = server().await;
    PostgresStore::open(&server.url()).await.unwrap().append(append("a", 1)).await.unwrap();
    let server = with(server, |server| server.back_up().unwrap()).await;
    let store = PostgresStore::open(&server.url()).await.unwrap();
    let of_type = |name: &str| {
        let event = EventData::new(EventType::new(name).unwrap(), "{}");
        Append::to(stream(name), ExpectedVersion::Any, vec![event])
    };
    for _ in 0..100 {
        store.append(of_type("lost.kind")).await.unwrap();
    }
    let lost = store.head().await.unwrap();
    let mut watch = store.watch();
    tokio::time::timeout(SOON, watch.wait_for(|head| *head == lost)).await.unwrap().unwrap();
    let server = with(server, |server| server.restore().unwrap()).await;

    // Another instance creates another kind with the number of the lost kind.
    let other = PostgresStore::open(&server.url()).await.unwrap();
    let start = other.head().await.unwrap();
    other.append(of_type("other.kind")).await.unwrap();

    let told = tokio::time::timeout(SOON, watch.wait_for(|head| *head < lost)).await.is_ok();
    assert!(told, "the watched head stays at {lost}");
    let kinds = |events: Vec<recount_core::RecordedEvent>| {
        events.iter().map(|event| event.data.event_type.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(common::read(&store, "other.kind").await), ["other.kind"]);
    let mut folded = Vec::new();
    let mut each = |event: recount_core::EventRef<'_>| folded.push(event.event_type.to_owned());
    store.fold_stream(ReadStream::new(stream("other.kind")), &mut each).await.unwrap();
    assert_eq!(folded, ["other.kind"]);
    let item = QueryItem { event_types: vec![EventType::new("other.kind").unwrap()], ..QueryItem::default() };
    let read = store.read_all(ReadAll::new(Query { items: vec![item] }));
    assert_eq!(read.count().await, 1);
    store.append(of_type("lost.kind")).await.unwrap();
    assert_eq!(kinds(common::read(&other, "lost.kind").await), ["lost.kind"]);

    let mut seen = follow(&store, start);
    next(&mut seen).await;
    next(&mut seen).await;
    overtake(&server, &store, &mut seen).await;
}

/// A replica has the rows, but not the locks of the appends that are under way on its primary: who reads there would pass them.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_not_read() {
    let server = server().await;
    let open = |url: String| async move { PostgresStore::builder(&url).patience(SOON / 4).open().await };
    let store = open(server.url()).await.unwrap();
    let last = store.append(append("a", 3)).await.unwrap().position;
    let server = with(server, |server| server.demote().unwrap()).await;
    let refused = |what: &str, outcome: Result<(), StoreError>| match outcome {
        Err(StoreError::Unavailable { source, .. }) => {
            assert!(source.to_string().contains("a replica"), "{what}: {source}")
        }
        other => panic!("{what}: {other:?}"),
    };
    refused("opening", open(server.url()).await.map(drop));
    refused("the head", store.head().await.map(drop));
    refused("a read", store.read_all(ReadAll::new(Query::all())).next().await.unwrap().map(drop));
    refused("health", store.health().await);
    let mut seen = follow(&store, Position::START);
    tokio::time::sleep(SOON / 5).await;
    assert!(seen.try_recv().is_err(), "an event is delivered by a replica");
    let mut shell = PgConnection::connect(&server.url()).await.unwrap();
    common::execute_on(&mut shell, "SELECT pg_promote()").await.unwrap();
    while next(&mut seen).await < last {}
    append_again(&store, "a").await;
}

/// The same for an append in the caller's transaction, which is on the new server before the store has noticed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_on_a_server_that_took_over_uses_its_kinds() {
    let server = server().await;
    PostgresStore::open(&server.url()).await.unwrap().append(append("a", 1)).await.unwrap();
    let server = with(server, |server| server.back_up().unwrap()).await;
    let store = PostgresStore::builder(&server.url()).poll(Duration::from_secs(3600)).open().await.unwrap();
    let of_type = |name: &str| {
        let event = EventData::new(EventType::new(name).unwrap(), "{}");
        Append::to(stream(name), ExpectedVersion::Any, vec![event])
    };
    store.append(of_type("lost.kind")).await.unwrap();
    let server = with(server, |server| server.restore().unwrap()).await;
    let mut shell = PgConnection::connect(&server.url()).await.unwrap();
    let insert = "INSERT INTO recount.kinds (category, type, schema_version) VALUES ('account', 'other.kind', 1)";
    common::execute_on(&mut shell, insert).await.unwrap();
    let pool = PgPool::connect(&server.url()).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    match store.append_in(&mut transaction, of_type("lost.kind")).await {
        Ok(_) => transaction.commit().await.unwrap(),
        Err(AppendError::Store(StoreError::Unavailable { .. })) => return,
        Err(error) => panic!("{error:?}"),
    }
    let kind = "SELECT k.type FROM recount.events AS e JOIN recount.kinds AS k ON k.kind = e.kind
        WHERE e.stream = 'account/lost.kind'";
    let kind: String = sqlx::query_scalar(kind).fetch_one(&mut shell).await.unwrap();
    assert_eq!(kind, "lost.kind");
    assert_eq!(common::read(&store, "lost.kind").await[0].version, StreamVersion::new(1));
}

//! What goes wrong around the store: each a clear error within a stated time, and recovery without help.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::proxy::behind_a_proxy;
use common::{Fresh, append, execute_on, read, stream};
use futures_util::TryStreamExt;
use recount_core::{
    Append, AppendError, EventData, EventRef, EventStore, EventType, ExpectedVersion, ReadStream, StoreError, Tag,
};
use recount_servers::Postgres;
use recount_store_postgres::PostgresStore;
use sqlx::{Connection, PgConnection};

async fn server(settings: &'static [&'static str]) -> Postgres {
    tokio::task::spawn_blocking(|| Postgres::start(settings).unwrap()).await.unwrap()
}

/// What it gives, which must not take longer.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, future).await.expect("it ends in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_is_unavailable_until_there_is_room() {
    let fresh = Fresh::new().await;
    let store = PostgresStore::builder(&fresh.url()).pool(4).patience(Duration::from_secs(1)).open().await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    // Whoever reads waits for somebody else's maintenance.
    let mut shell = fresh.shell().await;
    execute_on(&mut shell, "BEGIN").await.unwrap();
    execute_on(&mut shell, "LOCK TABLE recount.events IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let reading = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let read: Result<Vec<_>, _> = store.read_stream(ReadStream::new(stream("a"))).try_collect().await;
            read.map(|events| events.len())
        })
    });
    let reading: Vec<_> = reading.collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    execute_on(&mut shell, "ROLLBACK").await.unwrap();
    let mut refused = 0;
    for read in reading {
        match within(Duration::from_secs(5), read).await.unwrap() {
            Ok(count) => assert_eq!(count, 1),
            Err(error @ StoreError::Unavailable { .. }) => {
                assert!(error.is_transient());
                refused += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(refused >= 10, "{refused} reads were refused");
    assert_eq!(read(&store, "a").await.len(), 1);
    store.append(append("a", 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_for_connections_is_unavailable_until_there_is() {
    let server = server(&["max_connections=12", "superuser_reserved_connections=0"]).await;
    PostgresStore::open(&server.url()).await.unwrap().close().await;
    let mut others = Vec::new();
    while let Ok(connection) = PgConnection::connect(&server.url()).await {
        others.push(connection);
    }
    let open = || PostgresStore::builder(&server.url()).patience(Duration::from_secs(1)).open();
    let refused = within(Duration::from_secs(10), open()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    drop(others);
    let started = Instant::now();
    let store = loop {
        match open().await {
            Ok(store) => break store,
            Err(error) => assert!(error.is_transient() && started.elapsed() < Duration::from_secs(10), "{error:?}"),
        }
    };
    store.append(append("a", 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_url_says_what_is_wrong_with_it() {
    let server = server(&[]).await;
    let mut shell = PgConnection::connect(&server.url()).await.unwrap();
    execute_on(&mut shell, "CREATE ROLE careful LOGIN PASSWORD 'right'").await.unwrap();
    let access = "host all careful 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    std::fs::write(server.data().join("pg_hba.conf"), access).unwrap();
    execute_on(&mut shell, "SELECT pg_reload_conf()").await.unwrap();
    let port = server.port();
    let cases = [
        (format!("postgres://careful:wrong@127.0.0.1:{port}/postgres"), "password", false),
        (format!("postgres://postgres@127.0.0.1:{port}/nowhere"), "nowhere", false),
        (format!("postgres://nobody@127.0.0.1:{port}/postgres"), "nobody", false),
        ("postgres://postgres@127.0.0.1:1/postgres".to_owned(), "refused", true),
        ("postgres://postgres@name.invalid/postgres".to_owned(), "", true),
    ];
    for (url, told, transient) in cases {
        // The server takes a moment to read its new rules.
        let started = Instant::now();
        let error = loop {
            match within(Duration::from_secs(15), PostgresStore::open(&url)).await {
                Err(error) => break error,
                Ok(_) => assert!(started.elapsed() < Duration::from_secs(5), "{url}"),
            }
        };
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(source.contains(told), "{url}: {error:?}");
        assert_eq!(error.is_transient(), transient, "{url}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_ends_in_the_middle_of_an_append_is_replaced() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    store.append(append("a", 1)).await.unwrap();
    let mut shell = fresh.shell().await;
    execute_on(&mut shell, "BEGIN").await.unwrap();
    execute_on(&mut shell, "LOCK TABLE recount.events IN SHARE MODE").await.unwrap();
    let appending = {
        let store = store.clone();
        tokio::spawn(async move { store.append(append("a", 2)).await })
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'recount'";
    while fresh.number(waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'recount'";
    assert!(fresh.execute(kill).await.unwrap() > 0);
    execute_on(&mut shell, "ROLLBACK").await.unwrap();
    within(Duration::from_secs(5), appending).await.unwrap().unwrap();
    assert_eq!(read(&store, "a").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fold_goes_on_where_its_connection_was_ended() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    for _ in 0..20 {
        store.append(append("a", 1000)).await.unwrap();
    }
    let mut shell = fresh.shell().await;
    let killing = tokio::spawn(async move {
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'recount' AND state = 'active'
            AND query LIKE 'SELECT e.version, e.kind%e.payload FROM%'";
        let mut killed = 0;
        while killed < 3 {
            killed += sqlx::query_scalar::<_, i64>(kill).fetch_one(&mut shell).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    // Slowly, until it was in the middle of it often enough.
    let started = Instant::now();
    while !killing.is_finished() {
        assert!(started.elapsed() < Duration::from_secs(60), "nobody interferes");
        let mut shown = Vec::new();
        let mut each = |event: EventRef<'_>| {
            shown.push(event.version.get());
            std::thread::sleep(Duration::from_micros(5));
        };
        store.fold_stream(ReadStream::new(stream("a")), &mut each).await.unwrap();
        assert!(shown.iter().copied().eq(1..=20_000), "{} events", shown.len());
    }
    killing.await.unwrap();
}

async fn idle_in_transaction(server: &Postgres) -> i64 {
    let mut shell = PgConnection::connect(&server.url()).await.unwrap();
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()";
    sqlx::query_scalar(idle).fetch_one(&mut shell).await.unwrap()
}

/// Until both of the store's writers have a connection that will fall silent.
async fn warm(store: &PostgresStore) {
    for _ in 0..5 {
        let appends = (0..16).map(|n| store.append(append(&format!("warm-{n}"), 1)));
        futures_util::future::join_all(appends).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    }
}

/// The answer to a commit vanishes, but the server can be asked anew: what became of the append is found out.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_vanishes_is_found_out() {
    let server = server(&[]).await;
    let (proxy, url) = behind_a_proxy(&server).await;
    let store = PostgresStore::builder(&url).patience(Duration::from_secs(2)).open().await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    warm(&store).await;
    for round in 0..3 {
        proxy.silent.store(true, Ordering::SeqCst);
        let outcome = within(Duration::from_secs(30), store.append(append("a", 1))).await;
        proxy.silent.store(false, Ordering::SeqCst);
        println!("{round}: {outcome:?}");
        assert!(
            matches!(outcome, Ok(_) | Err(AppendError::Store(StoreError::OutcomeUnknown { .. }))),
            "{round}: {outcome:?}"
        );
    }
    within(Duration::from_secs(20), store.append(append("a", 1))).await.unwrap();
    // Each of them once, though the answers were lost.
    assert_eq!(read(&PostgresStore::open(&server.url()).await.unwrap(), "a").await.len(), 5);
    assert_eq!(idle_in_transaction(&server).await, 0);
}

/// Another instance has recorded the append's last event. This must not count as success of the append.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_with_a_lost_answer_is_not_mistaken_for_another_one() {
    let server = server(&[]).await;
    let (proxy, url) = behind_a_proxy(&server).await;
    let store = PostgresStore::builder(&url).patience(Duration::from_secs(2)).open().await.unwrap();
    warm(&store).await;
    let recorded = common::event();
    let other = PostgresStore::open(&server.url()).await.unwrap();
    other.append(Append::to(stream("a"), ExpectedVersion::Any, vec![recorded.clone()])).await.unwrap();
    proxy.silent.store(true, Ordering::SeqCst);
    let events = vec![common::event(), recorded];
    let outcome =
        within(Duration::from_secs(30), store.append(Append::to(stream("a"), ExpectedVersion::Any, events))).await;
    proxy.silent.store(false, Ordering::SeqCst);
    assert!(matches!(outcome, Err(AppendError::DuplicateEvent { .. })), "{outcome:?}");
    assert_eq!(read(&other, "a").await.len(), 1);
}

/// Nobody answers any more: the outcome is unknown, in time, and all goes on when the network is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_into_a_dead_network_has_an_unknown_outcome_in_time() {
    let server = server(&[]).await;
    let (proxy, url) = behind_a_proxy(&server).await;
    let store = PostgresStore::builder(&url).patience(Duration::from_secs(2)).open().await.unwrap();
    warm(&store).await;
    proxy.dead.store(true, Ordering::SeqCst);
    let outcome = within(Duration::from_secs(20), store.append(append("a", 1))).await;
    assert!(matches!(outcome, Err(AppendError::Store(StoreError::OutcomeUnknown { .. }))), "{outcome:?}");
    proxy.dead.store(false, Ordering::SeqCst);
    let started = Instant::now();
    while let Err(error) = within(Duration::from_secs(20), store.append(append("b", 1))).await {
        let AppendError::Store(error) = error else { panic!("{error:?}") };
        assert!(error.is_transient() || matches!(error, StoreError::OutcomeUnknown { .. }), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "{error:?}");
    }
    assert_eq!(idle_in_transaction(&server).await, 0);
}

/// Leaves no room for the table in this file. Returns the file, and the path to which it was moved.
async fn fill_up(mut server: Postgres, path: &str) -> (Postgres, PathBuf, PathBuf) {
    let (file, aside) = (server.data().join(path), server.data().join(format!("{path}.aside")));
    let (full, kept) = (file.clone(), aside.clone());
    let filling = tokio::task::spawn_blocking(move || {
        // Shut the server down, so that no recovery touches the file.
        server.stop();
        std::fs::rename(&full, &kept).unwrap();
        std::os::unix::fs::symlink("/dev/full", &full).unwrap();
        server.start_again().unwrap();
        server
    });
    (filling.await.unwrap(), file, aside)
}

/// No room on the disk, which the kernel says itself: `/dev/full` stands in for the file of a table. That works without rights to
/// mount anything, unlike a small file system; and a limit on the size of files would be another error than a full disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_clear_error_until_there_is_room() {
    let server = server(&[]).await;
    let store = PostgresStore::open(&server.url()).await.unwrap();
    let tagged = |name: &str| {
        let data = EventData::new(EventType::new("t").unwrap(), "{}");
        let event = EventData { tags: vec![Tag::new(name).unwrap()], ..data };
        Append::to(stream("a"), ExpectedVersion::Any, vec![event])
    };
    let mut shell = PgConnection::connect(&server.url()).await.unwrap();
    let path: String =
        sqlx::query_scalar("SELECT pg_relation_filepath('recount.tags')").fetch_one(&mut shell).await.unwrap();
    let (server, file, aside) = fill_up(server, &path).await;

    for _ in 0..3 {
        let outcome = within(Duration::from_secs(20), store.append(tagged("x"))).await;
        let Err(AppendError::Store(StoreError::StorageFull { source, .. })) = outcome else { panic!("{outcome:?}") };
        assert!(source.to_string().contains("No space left"), "{source}");
    }
    // What needs no room there works.
    assert!(matches!(
        store.read_stream(ReadStream::new(stream("a"))).try_collect::<Vec<_>>().await,
        Err(StoreError::StreamNotFound { .. })
    ));
    store.append(append("b", 1)).await.unwrap();

    // Room is made. Only what the server's processes hold open is still the full one.
    std::fs::remove_file(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    let mut shell = PgConnection::connect(&server.url()).await.unwrap();
    execute_on(&mut shell, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'recount'")
        .await
        .unwrap();
    within(Duration::from_secs(20), store.append(tagged("x"))).await.unwrap();
    assert_eq!(read(&store, "a").await.len(), 1);
    assert_eq!(idle_in_transaction(&server).await, 0);
}

/// Health fails on a disk that has room for a few bytes, but not for an event.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_room_for_an_event_is_not_healthy() {
    let server = server(&[]).await;
    let store = PostgresStore::open(&server.url()).await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    for _ in 0..3 {
        store.health().await.unwrap();
    }
    let head = store.head().await.unwrap();
    assert_eq!(read(&store, "a").await.len(), 1);
    let mut shell = PgConnection::connect(&server.url()).await.unwrap();
    execute_on(&mut shell, "VACUUM recount.events").await.unwrap();
    let large = "SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE oid = 'recount.events'::regclass";
    let path: String = sqlx::query_scalar(large).fetch_one(&mut shell).await.unwrap();
    let (server, file, aside) = fill_up(server, &path).await;
    let large = EventData::new(EventType::new("t").unwrap(), noise(200_000));
    let large = Append::to(stream("a"), ExpectedVersion::Any, vec![large]);
    let outcome = within(Duration::from_secs(20), store.append(large)).await;
    assert!(matches!(outcome, Err(AppendError::Store(StoreError::StorageFull { .. }))), "{outcome:?}");
    let health = within(Duration::from_secs(20), store.health()).await;
    assert!(matches!(health, Err(StoreError::StorageFull { .. })), "{health:?}");

    std::fs::remove_file(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    let mut shell = PgConnection::connect(&server.url()).await.unwrap();
    execute_on(&mut shell, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'recount'")
        .await
        .unwrap();
    within(Duration::from_secs(20), store.health()).await.unwrap();
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(read(&store, "a").await.len(), 1);
}

/// Bytes that don't compress.
fn noise(count: usize) -> bytes::Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(count).collect()
}

//! Another store in the place of an open one is neither written nor read, and the error names it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Fresh, append, event, execute_on, read_all, stream};
use futures_util::{StreamExt, TryStreamExt, stream as streams};
use recount_core::{
    Append, AppendCondition, AppendError, Checkpoint, CheckpointError, EventData, EventStore, EventType,
    ExpectedRevision, ExpectedVersion, IdempotencyKey, Position, Query, QueryItem, ReadAll, ReadModel, ReadStream,
    RecordedEvent, StateError, StateKey, StateStore, StoreError, StreamAppend, Tag,
};
use recount_store_postgres::{ImportError, PostgresReadModel, PostgresStore};
use sqlx::PgPool;

const RENAME: &str = "ALTER SCHEMA live RENAME TO archive";

async fn open(fresh: &Fresh, schema: &str) -> PostgresStore {
    PostgresStore::builder(&fresh.url()).schema(schema).patience(Duration::from_secs(4)).open().await.unwrap()
}

fn tag() -> Tag {
    Tag::new("t").unwrap()
}

fn tagged() -> EventData {
    EventData { tags: vec![tag()], ..event() }
}

fn exactly(id: &str, version: u64) -> Append {
    let expected = ExpectedVersion::Exact(recount_core::StreamVersion::new(version));
    Append::to(stream(id), expected, vec![event()])
}

fn conditional() -> Append {
    let item = QueryItem { tags: vec![tag()], ..QueryItem::default() };
    let condition = AppendCondition { fail_if: Query { items: vec![item] }, after: Position::new(1_000_000) };
    Append::to(stream("conditional"), ExpectedVersion::Any, vec![tagged()]).condition(condition)
}

fn keyed() -> Append {
    append("keyed", 1).idempotency_key(IdempotencyKey::new(fastrand::u64(..).to_string()).unwrap())
}

fn several() -> Append {
    let mut append = append("a", 1);
    append.streams.push(StreamAppend { stream: stream("b"), expected: ExpectedVersion::Any, events: vec![event()] });
    append
}

/// Begins a transaction as a projection does: retries if the connection has ended.
async fn begin(read_model: &PostgresReadModel) -> Result<(), StoreError> {
    for _ in 0..10 {
        match read_model.begin("p").await {
            Err(error) if error.is_transient() => {}
            begun => return begun.map(drop),
        }
    }
    read_model.begin("p").await.map(drop)
}

/// The error, if any, of each call of the store, by the call's name.
async fn outcomes(
    store: &PostgresStore,
    pool: &PgPool,
    imported: &RecordedEvent,
) -> Vec<(&'static str, Option<StoreError>)> {
    let of_append = |outcome: Result<_, AppendError>| match outcome {
        Ok(_) => None,
        Err(AppendError::Store(error)) => Some(error),
        Err(error) => panic!("{error:?}"),
    };
    let of_state = |outcome: Result<_, StateError>| match outcome {
        Ok(_) => None,
        Err(StateError::Store(error)) => Some(error),
        Err(error) => panic!("{error:?}"),
    };
    let key = StateKey::new("k").unwrap();
    let mut outcomes = vec![
        (
            "first event",
            of_append(
                store
                    .append(Append::to(
                        stream(&fastrand::u64(..).to_string()),
                        ExpectedVersion::NoStream,
                        vec![event()],
                    ))
                    .await
                    .map(drop),
            ),
        ),
        (
            "lone event",
            match store.append(exactly("lone", 1)).await {
                // A conflict means that the store was read.
                Ok(_) | Err(AppendError::Conflict(_)) => None,
                Err(AppendError::Store(error)) => Some(error),
                Err(error) => panic!("{error:?}"),
            },
        ),
        ("events", of_append(store.append(append("a", 3)).await.map(drop))),
        (
            "tagged",
            of_append(store.append(Append::to(stream("a"), ExpectedVersion::Any, vec![tagged()])).await.map(drop)),
        ),
        ("several streams", of_append(store.append(several()).await.map(drop))),
        ("conditional", of_append(store.append(conditional()).await.map(drop))),
        ("keyed", of_append(store.append(keyed()).await.map(drop))),
        ("put", of_state(store.put(&key, "v".into(), ExpectedRevision::Any, None).await.map(drop))),
        ("get", store.get(&key).await.err()),
        ("list", store.list(recount_core::Namespace::USER, "", None, 10).await.err()),
        ("delete", of_state(store.delete(&key, ExpectedRevision::Any).await)),
        ("head", store.head().await.err()),
        ("read a stream", store.read_stream(ReadStream::new(stream("a"))).try_collect::<Vec<_>>().await.err()),
        ("fold", store.fold_stream(ReadStream::new(stream("a")), &mut |_| {}).await.err()),
        ("read all", store.read_all(ReadAll::new(Query::all())).try_collect::<Vec<_>>().await.err()),
        ("find an append", store.find_append(&IdempotencyKey::new("k").unwrap()).await.err()),
        ("archive", store.archive(&stream("archived")).await.err()),
        ("erase", store.erase(&stream("erased")).await.err()),
        ("health", store.health().await.err()),
    ];
    let together = (0..16).map(|n| store.append(append(&format!("together-{n}"), 1)));
    for outcome in futures_util::future::join_all(together).await {
        outcomes.push(("together", of_append(outcome.map(drop))));
    }
    let item = QueryItem { event_types: vec![EventType::new("account.opened").unwrap()], ..QueryItem::default() };
    let read = store.read_all(ReadAll::new(Query { items: vec![item] }));
    outcomes.push(("read a type", read.try_collect::<Vec<_>>().await.err()));
    let mut imported = imported.clone();
    imported.data.id = event().id;
    imported.stream = stream("imported");
    outcomes.push((
        "import",
        match store.import(streams::iter([Ok::<_, StoreError>(imported)])).await {
            Ok(_) => None,
            Err(ImportError::Store(AppendError::Store(error))) => Some(error),
            Err(error) => panic!("{error:?}"),
        },
    ));
    let read_model = store.read_model();
    outcomes.push(("begin a read model", begin(&read_model).await.err()));
    outcomes.push(("read a checkpoint", read_model.checkpoint("p").await.err()));
    outcomes.push(("look at a position", store.event_at(Position::new(1)).await.err()));
    // The database may be gone.
    if let Ok(mut transaction) = pool.begin().await {
        outcomes.push(("append in", of_append(store.append_in(&mut transaction, append("in", 1)).await.map(drop))));
        transaction.commit().await.unwrap();
    }
    outcomes
}

/// A store in the schema `live` whose connections have prepared all statements.
async fn warm(fresh: &Fresh) -> (PostgresStore, PgPool, RecordedEvent) {
    let store = open(fresh, "live").await;
    for id in ["lone", "archived", "erased"] {
        store.append(append(id, 1)).await.unwrap();
    }
    let event = read_all(&store).await.remove(0);
    let pool = PgPool::connect(&fresh.url()).await.unwrap();
    for _ in 0..2 {
        for (call, failed) in outcomes(&store, &pool, &event).await {
            assert!(failed.is_none(), "{call}: {failed:?}");
        }
    }
    (store, pool, event)
}

async fn all_fail(store: &PostgresStore, pool: &PgPool, event: &RecordedEvent, told: &str) {
    let outcomes = tokio::time::timeout(Duration::from_secs(60), outcomes(store, pool, event)).await.expect("in time");
    let wrong: Vec<_> = outcomes
        .iter()
        .filter(|(_, failed)| {
            !matches!(failed, Some(StoreError::Replaced { found, place, expected, .. })
            if found.contains(told) && place.contains("live") && *expected == Some(store.identity()))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

const ROWS: &str = "SELECT (SELECT count(*) FROM live.events) + (SELECT count(*) FROM live.state)
    + (SELECT count(*) FROM live.tags) + (SELECT count(*) FROM live.appends) + (SELECT count(*) FROM live.kinds)";

#[tokio::test(flavor = "multi_thread")]
async fn every_call_fails_after_the_schema_was_renamed() {
    let fresh = Fresh::new().await;
    let (store, pool, event) = warm(&fresh).await;
    fresh.execute(RENAME).await.unwrap();
    all_fail(&store, &pool, &event, "no such schema").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_in_the_place_of_a_renamed_one_is_neither_written_nor_read() {
    let fresh = Fresh::new().await;
    let (store, pool, event) = warm(&fresh).await;
    fresh.execute(RENAME).await.unwrap();
    let other = open(&fresh, "live").await;
    all_fail(&store, &pool, &event, &other.identity().to_string()).await;
    assert_eq!(fresh.number(ROWS).await, 0);
    // New connections fail too.
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'recount'";
    fresh.execute(kill).await.unwrap();
    all_fail(&store, &pool, &event, &other.identity().to_string()).await;
    assert_eq!(fresh.number(ROWS).await, 0);
    other.append(append("a", 1)).await.unwrap();
    // The renamed schema still is a working store.
    let renamed = open(&fresh, "archive").await;
    assert_eq!(renamed.identity(), store.identity());
    let before = read_all(&renamed).await.len();
    for (call, failed) in outcomes(&renamed, &pool, &event).await {
        assert!(failed.is_none(), "{call}: {failed:?}");
    }
    assert!(read_all(&renamed).await.len() > before);
    assert_eq!(read_all(&other).await.len(), 1);
}

/// Appends by the old name hold locks of that name. Opening the schema by its new name waits until they have ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_schema_is_opened_behind_the_appends_under_way() {
    let fresh = Fresh::new().await;
    let (store, pool, _) = warm(&fresh).await;
    let mut transaction = pool.begin().await.unwrap();
    let first = store.append_in(&mut transaction, append("first", 1)).await.unwrap().position;
    fresh.execute(RENAME).await.unwrap();
    let committing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        transaction.commit().await.unwrap();
    });
    let renamed = open(&fresh, "archive").await;
    let second = renamed.append(append("second", 1)).await.unwrap().position;
    let seen =
        read_all(&renamed).await.iter().map(|event| event.position).filter(|at| *at >= first).collect::<Vec<_>>();
    assert_eq!(seen, [first, second], "a reader passes {first}, which is committed later");
    committing.await.unwrap();
}

/// Maintenance of the database does not change the identity of the store, also for a running program.
#[tokio::test(flavor = "multi_thread")]
async fn upkeep_of_the_database_does_not_make_it_another_store() {
    let fresh = Fresh::new().await;
    let (store, pool, event) = warm(&fresh).await;
    for upkeep in
        ["REINDEX SCHEMA CONCURRENTLY live", "REINDEX SCHEMA live", "VACUUM FULL live.store", "VACUUM FULL live.events"]
    {
        fresh.execute(upkeep).await.unwrap();
        for (call, failed) in outcomes(&store, &pool, &event).await {
            assert!(failed.is_none(), "{call} after {upkeep}: {failed:?}");
        }
    }
}

/// Appends with tags or keys fail then, and so does health.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lacks_a_table_is_not_healthy() {
    let fresh = Fresh::new().await;
    let (store, ..) = warm(&fresh).await;
    for table in ["events", "tags", "appends", "state", "kinds"] {
        let rename = |from: &str, to: &str| format!("ALTER TABLE live.{from} RENAME TO {to}");
        fresh.execute(&rename(table, "aside")).await.unwrap();
        let health = store.health().await;
        assert!(health.is_err(), "{table} is missing");
        fresh.execute(&rename("aside", table)).await.unwrap();
        store.health().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_fails_after_the_schema_was_dropped_or_recreated() {
    let fresh = Fresh::new().await;
    let (store, pool, event) = warm(&fresh).await;
    fresh.execute("DROP SCHEMA live CASCADE").await.unwrap();
    all_fail(&store, &pool, &event, "no such schema").await;
    fresh.execute("CREATE SCHEMA live").await.unwrap();
    all_fail(&store, &pool, &event, "no store").await;
    let other = open(&fresh, "live").await;
    all_fail(&store, &pool, &event, &other.identity().to_string()).await;
    assert_eq!(fresh.number(ROWS).await, 0);
}

/// A restored dump in the place of the store counts as another store, since it may have gone back in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_dump_counts_as_another_store() {
    let fresh = Fresh::new().await;
    let (store, pool, event) = warm(&fresh).await;
    fresh.execute("DROP SCHEMA live CASCADE").await.unwrap();
    fresh.execute(&PostgresStore::migrations_sql("live").unwrap()).await.unwrap();
    let id = store.identity();
    let rename = format!(
        "DO $$ BEGIN EXECUTE (SELECT format('ALTER VIEW live.store_%s RENAME TO store_{}', replace(id::text, '-', '')) FROM live.store); END $$;
        UPDATE live.store SET id = '{id}'",
        id.0.simple()
    );
    fresh.execute(&rename).await.unwrap();
    all_fail(&store, &pool, &event, "made anew").await;
    assert_eq!(fresh.number(ROWS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_fails_after_the_database_was_dropped_or_recreated() {
    let fresh = Fresh::new().await;
    let (store, pool, event) = warm(&fresh).await;
    let mut server = fresh.server().await;
    execute_on(&mut server, &format!("DROP DATABASE {} WITH (FORCE)", fresh.name())).await.unwrap();
    all_fail(&store, &pool, &event, "no such database").await;
    execute_on(&mut server, &format!("CREATE DATABASE {}", fresh.name())).await.unwrap();
    all_fail(&store, &pool, &event, "no such schema").await;
    let other = open(&fresh, "live").await;
    all_fail(&store, &pool, &event, &other.identity().to_string()).await;
    assert_eq!(fresh.number(ROWS).await, 0);
}

/// Appends that wait for a lock while the store is replaced fail.
#[tokio::test(flavor = "multi_thread")]
async fn appends_in_flight_while_the_store_is_replaced_write_nothing_to_the_other_one() {
    let fresh = Fresh::new().await;
    let (store, ..) = warm(&fresh).await;
    let kinds = ["lone event", "events", "conditional", "several", "keyed"];
    let gate: i64 = fresh
        .number("SELECT substring(prosrc FROM 'lock_shared\\((-?\\d+)\\)')::bigint FROM pg_proc WHERE proname = 'lock_gate'")
        .await;
    let mut shell = fresh.shell().await;
    execute_on(&mut shell, &format!("SELECT pg_advisory_lock({gate})")).await.unwrap();
    let appending: Vec<_> = [exactly("under-way", 0), append("a", 3), conditional(), several(), keyed()]
        .into_iter()
        .map(|append| {
            // Each append uses a connection of its own.
            let store = store.clone();
            tokio::spawn(async move { store.append(append).await })
        })
        .collect();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'";
    while fresh.number(waiting).await < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fresh.execute(RENAME).await.unwrap();
    let other = open(&fresh, "live").await;
    execute_on(&mut shell, &format!("SELECT pg_advisory_unlock({gate})")).await.unwrap();
    for (kind, append) in kinds.iter().zip(appending) {
        let outcome = tokio::time::timeout(Duration::from_secs(30), append).await.expect("in time").unwrap();
        assert!(matches!(outcome, Err(AppendError::Store(StoreError::Replaced { .. }))), "{kind}: {outcome:?}");
    }
    assert_eq!(read_all(&other).await.len(), 0);
    assert_eq!(fresh.number(ROWS).await, 0);
}

/// A subscription ends with the error instead of retrying.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_on_a_store_that_was_replaced_ends_with_the_error() {
    let fresh = Fresh::new().await;
    let (store, ..) = warm(&fresh).await;
    let head = store.head().await.unwrap();
    let mut subscription = recount_core::Recount::new(store.clone()).subscribe(Query::all(), head);
    subscription.next().await.unwrap().unwrap();
    fresh.execute(RENAME).await.unwrap();
    let ended = async {
        loop {
            if let Err(error) = subscription.next().await.expect("it ends with an error") {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it ends");
    assert!(matches!(error, StoreError::Replaced { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_does_not_commit_its_checkpoint_to_another_store() {
    let fresh = Fresh::new().await;
    let store = open(&fresh, "live").await;
    let read_model = store.read_model();
    let at = |position| Checkpoint::from(Position::new(position));
    let (transaction, _) = read_model.begin("p").await.unwrap();
    read_model.commit(transaction, "p", Checkpoint::START, at(1)).await.unwrap();
    let (transaction, checkpoint) = read_model.begin("p").await.unwrap();
    fresh.execute(RENAME).await.unwrap();
    let other = open(&fresh, "live").await;
    let committed = read_model.commit(transaction, "p", checkpoint, at(2)).await;
    assert!(matches!(committed, Err(CheckpointError::Store(StoreError::Replaced { .. }))), "{committed:?}");
    assert_eq!(other.read_model().checkpoint("p").await.unwrap(), Checkpoint::START);
    assert_eq!(open(&fresh, "archive").await.read_model().checkpoint("p").await.unwrap(), at(1));
}

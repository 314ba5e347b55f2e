//! Inline projections where connections break off, and in the other ways in: transactions of the caller's, and imports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Fresh, read_all};
use recount_core::{
    Append, AppendError, BoxError, Event, EventStore, ExpectedVersion, Fold, Metadata, Projection, Query, ReadAll,
    RecordedEvent, Recount, Status, StoreError, StreamId,
};
use recount_store_postgres::{ImportError, PostgresReadModel, PostgresStore};
use sqlx::{Connection, PgConnection};

#[derive(Event, Debug)]
#[event(name = "noted")]
struct Noted {}

const LOG: &str = "CREATE TABLE IF NOT EXISTS log (number bigserial PRIMARY KEY, position bigint NOT NULL, cause text)";

/// Writes positions, and does what the id of the stream says, as often as there are troubles left.
#[derive(Default)]
struct Log {
    troubles: AtomicUsize,
}

impl Projection for Log {
    type Event = Noted;
    type ReadModel = PostgresReadModel;

    fn name(&self) -> &str {
        "log"
    }

    async fn setup(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
        sqlx::raw_sql(LOG).execute(connection).await?;
        Ok(())
    }

    async fn on(&self, _: &Noted, recorded: &RecordedEvent, connection: &mut PgConnection) -> Result<(), BoxError> {
        let mut inner = connection.begin().await?;
        let insert = sqlx::query("INSERT INTO log (position, cause) VALUES ($1, $2)").bind(recorded.position.as_i64());
        insert.bind(Metadata::current().causation_id.map(|id| id.to_string())).execute(&mut *inner).await?;
        inner.commit().await?;
        if recorded.stream.id() == "forgets" {
            std::mem::forget(connection.begin().await?);
            return Ok(());
        }
        let left = |left: usize| left.checked_sub(1);
        if self.troubles.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err() {
            return Ok(());
        }
        let trouble = match recorded.stream.id() {
            "killed" => "SELECT pg_terminate_backend(pg_backend_pid())",
            "sleeps" => "SELECT pg_sleep(60)",
            "commits" => "COMMIT",
            "undoes" => "ROLLBACK",
            "undoes and begins" => "ROLLBACK; BEGIN",
            "deadlock" => "DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = 'deadlock_detected'; END $$",
            _ => return Err("refused".into()),
        };
        sqlx::raw_sql(trouble).execute(connection).await?;
        Ok(())
    }
}

fn stream_id(id: &str) -> StreamId {
    StreamId::new("noted", id).unwrap()
}

fn append(id: &str, count: usize) -> Append {
    let events = (0..count).map(|_| Noted {}.encode().unwrap()).collect();
    Append::to(stream_id(id), ExpectedVersion::Any, events)
}

async fn open(fresh: &Fresh, troubles: usize) -> PostgresStore {
    let log = Log { troubles: AtomicUsize::new(troubles) };
    PostgresStore::builder(&fresh.url()).patience(Duration::from_secs(2)).inline(log).open().await.unwrap()
}

/// The read model has exactly the events of the store, and nothing holds the gate.
async fn same(fresh: &Fresh, store: &PostgresStore, count: usize) {
    let positions: Vec<i64> = read_all(store).await.iter().map(|event| event.position.as_i64()).collect();
    let mut shell = fresh.shell().await;
    let written = sqlx::query_scalar("SELECT position FROM log ORDER BY number").fetch_all(&mut shell);
    let written: Vec<i64> = written.await.unwrap();
    assert_eq!((written, count), (positions.clone(), positions.len()));
    let open = "SELECT count(*) FROM pg_stat_activity \
        WHERE state LIKE 'idle in transaction%' AND datname = current_database()";
    assert_eq!(fresh.number(open).await, 0);
}

fn refused(outcome: Result<recount_core::Appended, AppendError>) -> String {
    match outcome {
        Err(AppendError::Store(StoreError::Projection { projection, source })) if projection == "log" => {
            source.to_string()
        }
        other => panic!("{other:?}"),
    }
}

/// A backend that ends, and a transaction that others were in the way of, are no fault of the event: it is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_in_a_handler_leaves_nothing_and_the_append_is_made_again() {
    let fresh = Fresh::new().await;
    let store = open(&fresh, 1).await;
    store.append(append("killed", 2)).await.unwrap();
    same(&fresh, &store, 2).await;
    store.close().await;
    let store = open(&fresh, 2).await;
    store.append(append("deadlock", 2)).await.unwrap();
    same(&fresh, &store, 4).await;
}

/// What fails at the commit itself: a deferred trigger, which ends the session between the handlers and the commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_between_handler_and_commit_leaves_neither() {
    let fresh = Fresh::new().await;
    let store = open(&fresh, 0).await;
    let trigger = |body: &str| {
        format!(
            "CREATE SEQUENCE IF NOT EXISTS tries; CREATE OR REPLACE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN {body} RETURN NULL; END $$; DROP TRIGGER IF EXISTS late ON log;
            CREATE CONSTRAINT TRIGGER late AFTER INSERT ON log DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION late()"
        )
    };
    fresh.execute(&trigger("RAISE EXCEPTION 'not at the commit';")).await.unwrap();
    let outcome = store.append(append("a", 2)).await;
    assert!(matches!(outcome, Err(AppendError::Store(StoreError::Backend { .. }))), "{outcome:?}");
    same(&fresh, &store, 0).await;
    // A sequence isn't undone: the session is ended the first time only.
    let kill =
        "IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); END IF;";
    fresh.execute(&trigger(kill)).await.unwrap();
    store.append(append("a", 2)).await.unwrap();
    assert!(fresh.number("SELECT last_value FROM tries").await > 1);
    same(&fresh, &store, 2).await;
}

/// A statement of a handler that the server still works at is ended, with its locks.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_does_not_end_holds_up_nobody_for_long() {
    let fresh = Fresh::new().await;
    let (store, other) = (open(&fresh, 1).await, fresh.store().await);
    let started = Instant::now();
    let (sleeping, beside) = tokio::join!(store.append(append("sleeps", 1)), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.append(append("beside", 1)).await
    });
    let reason = refused(sleeping);
    assert!(reason.contains("has not returned within 2s") || reason.contains("statement timeout"), "{reason}");
    beside.unwrap();
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    store.append(append("a", 1)).await.unwrap();
    same(&fresh, &store, 2).await;
}

/// The error says that the append is recorded although its handler ended the transaction.
fn recorded(outcome: Result<recount_core::Appended, AppendError>) {
    let Err(AppendError::Store(StoreError::OutcomeUnknown { source, .. })) = outcome else { panic!("{outcome:?}") };
    let reason = source.to_string();
    assert!(reason.contains("inline projection log ended the transaction"), "{reason}");
    assert!(reason.contains("is recorded"), "{reason}");
}

/// A handler must leave the transaction open. If it commits, the event is recorded, and taken in with the next append.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ends_the_transaction_is_found_out() {
    let fresh = Fresh::new().await;
    let store = open(&fresh, 1).await;
    recorded(store.append(append("commits", 1)).await);
    store.append(append("a", 1)).await.unwrap();
    assert_eq!(read_all(&store).await.len(), 2);
    assert_eq!(fresh.number("SELECT count(DISTINCT position) FROM log").await, 2);
}

/// The same in a transaction of the caller's, which ends with it, and in an import.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ends_the_callers_transaction_is_found_out() {
    let fresh = Fresh::new().await;
    for (index, id) in ["undoes", "undoes and begins", "commits"].into_iter().enumerate() {
        let store = open(&fresh, 1).await;
        let mut shell = fresh.shell().await;
        let mut transaction = shell.begin().await.unwrap();
        let outcome = store.append_in(&mut transaction, append(id, 1)).await;
        drop(transaction);
        if id == "commits" {
            recorded(outcome);
        } else {
            let reason = refused(outcome);
            assert!(reason.contains("ended the transaction"), "{id}: {reason}");
        }
        store.append(append("a", 1)).await.unwrap();
        store.close().await;
        let (events, taken) = (read_all(&fresh.store().await).await.len(), index + 1 + usize::from(id == "commits"));
        assert_eq!((events, fresh.number("SELECT count(DISTINCT position) FROM log").await), (taken, taken as i64));
    }
    let (source, store) = (Fresh::new().await, open(&fresh, 1).await);
    let old = source.store().await;
    old.append(append("commits", 1)).await.unwrap();
    let events = || old.read_all(ReadAll::new(Query::all()));
    let Err(ImportError::Store(error)) = store.import(events()).await else { panic!("it was imported") };
    recorded(Err(error));
    assert_eq!(store.import(events()).await.unwrap().skipped, 1);
}

/// A savepoint that a handler leaves open refuses its append, of which nothing stays in the caller's transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_that_a_handler_leaves_open_is_undone_with_its_append() {
    let fresh = Fresh::new().await;
    let store = open(&fresh, 0).await;
    let left_open = |outcome: Result<recount_core::Appended, AppendError>| match outcome {
        Err(AppendError::Store(StoreError::Backend { source, .. })) => {
            assert!(source.to_string().contains("savepoint"))
        }
        other => panic!("{other:?}"),
    };
    let mut shell = fresh.shell().await;
    let mut transaction = shell.begin().await.unwrap();
    left_open(store.append_in(&mut transaction, append("forgets", 2)).await);
    let seen: i64 =
        sqlx::query_scalar("SELECT count(*) FROM recount.events").fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(seen, 0, "events of a refused append are in the transaction");
    store.append_in(&mut transaction, append("a", 1)).await.unwrap();
    transaction.commit().await.unwrap();
    same(&fresh, &store, 1).await;
    left_open(store.append(append("forgets", 1)).await);
    store.append(append("a", 1)).await.unwrap();
    same(&fresh, &store, 2).await;
}

/// The connection falls silent while the store undoes an append whose projection is far behind. The append is made on
/// another connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_before_catching_up_is_not_the_end_of_the_store() {
    let fresh = Fresh::new().await;
    let (proxy, url) = fresh.behind_a_proxy().await;
    let builder = PostgresStore::builder(&url).patience(Duration::from_secs(2)).inline(Log::default());
    let store = builder.open().await.unwrap();
    fresh.store().await.append(append("before", 1500)).await.unwrap();
    proxy.swallow("ROLLBACK");
    store.append(append("a", 1)).await.unwrap();
    assert!(proxy.has_swallowed());
    same(&fresh, &store, 1501).await;
}

/// The handlers run in the caller's transaction, and in the metadata scope of their event.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_in_a_transaction_of_the_callers_takes_the_read_model_with_it() {
    let fresh = Fresh::new().await;
    let (store, without) = (open(&fresh, 0).await, fresh.store().await);
    without.append(append("before", 3)).await.unwrap();
    let mut shell = fresh.shell().await;
    let mut transaction = shell.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL statement_timeout = 77777").execute(&mut *transaction).await.unwrap();
    store.append_in(&mut transaction, append("a", 2)).await.unwrap();
    let own: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(own, "77777ms", "the caller's settings are as they were");
    transaction.rollback().await.unwrap();
    assert_eq!(fresh.number("SELECT count(*) FROM log").await, 0);
    let mut transaction = shell.begin().await.unwrap();
    store.append_in(&mut transaction, append("a", 2)).await.unwrap();
    transaction.commit().await.unwrap();
    same(&fresh, &store, 5).await;
    let events = read_all(&store).await;
    let causes = sqlx::query_scalar("SELECT cause FROM log ORDER BY number").fetch_all(&mut shell);
    let causes: Vec<String> = causes.await.unwrap();
    assert_eq!(causes, events.iter().map(|event| event.data.id.0.to_string()).collect::<Vec<_>>());
    // A refusal leaves the transaction as it was.
    store.close().await;
    let store = open(&fresh, 1).await;
    let mut transaction = shell.begin().await.unwrap();
    assert_eq!(refused(store.append_in(&mut transaction, append("x", 1)).await), "refused");
    store.append_in(&mut transaction, append("a", 1)).await.unwrap();
    transaction.commit().await.unwrap();
    same(&fresh, &store, 6).await;
}

/// What is imported is in the read model, and an event that is refused breaks the import off.
#[tokio::test(flavor = "multi_thread")]
async fn imported_events_are_taken_in() {
    let (source, fresh) = (Fresh::new().await, Fresh::new().await);
    let old = source.store().await;
    for _ in 0..3 {
        old.append(append("a", 2000)).await.unwrap();
    }
    let events = || old.read_all(ReadAll::new(Query::all()));
    let (store, without) = (open(&fresh, 0).await, fresh.store().await);
    without.append(append("before", 1500)).await.unwrap();
    let imported = store.import(events()).await.unwrap();
    assert_eq!(imported.written, 6000);
    same(&fresh, &store, 7500).await;
    store.append(append("a", 1)).await.unwrap();
    assert_eq!(store.import(events()).await.unwrap().skipped, 6000);
    same(&fresh, &store, 7501).await;
    store.close().await;
    let store = open(&fresh, 1).await;
    old.append(append("x", 1)).await.unwrap();
    let Err(ImportError::Store(error)) = store.import(events()).await else { panic!("it was imported") };
    assert_eq!(refused(Err(error)), "refused");
    same(&fresh, &store, 7501).await;
    store.import(events()).await.unwrap();
    same(&fresh, &store, 7502).await;
}

mod elsewhere {
    use recount_core::Event;

    #[derive(Event)]
    #[event(name = "noted")]
    pub(crate) struct Noted {}
}

/// A stored name in an inline projection also belongs to one type of the program.
#[tokio::test(flavor = "multi_thread")]
async fn an_inline_projection_and_a_type_of_the_same_name_are_refused() {
    let fresh = Fresh::new().await;
    let recount = Recount::new(open(&fresh, 0).await);
    let other = Arc::new(Fold::new((), |(), _: &elsewhere::Noted, _| {}));
    let running = recount.consumers().projection(other, recount_core::InMemory::new()).start();
    let stopped = running.wait_for(recount_core::Position::START).await.unwrap_err();
    assert!(matches!(&stopped.status, Status::Stopped { error } if error.contains("noted")), "{stopped:?}");
}

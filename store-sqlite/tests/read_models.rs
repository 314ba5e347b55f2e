//! Read models in SQLite: exactly once, one runner at a time, fair to the writer; and inline projections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{append, event, read_all, stream};
use recount_core::{
    Append, AppendError, BoxError, CheckpointError, DecodeError, EncodeError, Event, EventData, EventStore, EventType,
    EventVariant, ExpectedVersion, Position, Projection, ReadModel, RecordedEvent, Recount, StoreError,
};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use recount_testing::read_model::runners::one_runner_of_a_name;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

struct Opened;

impl Event for Opened {
    fn variants() -> Vec<EventVariant> {
        let schema = || schemars::schema_for!(());
        vec![EventVariant {
            event_type: "account.opened",
            schema_version: 1,
            aliases: &[],
            retired: false,
            schema,
            form: recount_core::shape::Form::Leaf("string"),
            upcasters: &[],
            rust_type: recount_core::RustType::of::<Self>,
        }]
    }
    fn encode(&self) -> Result<EventData, EncodeError> {
        Ok(event())
    }
    fn decode(_: &str, _: u32, payload: &[u8]) -> Result<Self, DecodeError> {
        if payload == b"{}" { Ok(Self) } else { Err(DecodeError::unknown_type("broken")) }
    }
}

/// Counts the events of each stream; refuses those of stream `refused`.
struct Counts;

impl Projection for Counts {
    type Event = Opened;
    type ReadModel = SqliteReadModel;
    fn name(&self) -> &str {
        "counts"
    }

    async fn setup(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS counts (stream TEXT PRIMARY KEY, events INTEGER)")
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn on(
        &self,
        _: &Opened,
        recorded: &RecordedEvent,
        connection: &mut SqliteConnection,
    ) -> Result<(), BoxError> {
        // A handler may use transactions of its own.
        let mut inner = connection.begin().await?;
        sqlx::query("INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET events = events + 1")
            .bind(recorded.stream.id())
            .execute(&mut *inner)
            .await?;
        inner.commit().await?;
        assert_ne!(recorded.stream.id(), "panics");
        if recorded.stream.id() == "refused" { Err("this one is refused".into()) } else { Ok(()) }
    }
}

async fn count(model: &SqliteReadModel, id: &str) -> i64 {
    let count = sqlx::query_scalar("SELECT events FROM counts WHERE stream = ?").bind(id);
    count.fetch_optional(model.pool()).await.unwrap().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_projection_is_never_behind_and_fails_only_its_own_append() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let before = SqliteStore::open(&path).await.unwrap();
    before.append(append("old", 1500)).await.unwrap();

    let store = SqliteStore::builder(&path).inline(Counts).open().await.unwrap();
    let model = store.read_model();
    assert_eq!(count(&model, "old").await, 1500);
    assert_eq!(model.checkpoint("counts").await.unwrap().position, store.head().await.unwrap());

    let appends = (0..64).map(|index| {
        let store = store.clone();
        let id = if index % 16 == 3 { "refused".to_owned() } else { index.to_string() };
        tokio::spawn(async move { (id.clone(), store.append(append(&id, 2)).await) })
    });
    for outcome in appends.collect::<Vec<_>>() {
        match outcome.await.unwrap() {
            (id, Ok(_)) => assert_eq!(count(&model, &id).await, 2),
            (id, Err(AppendError::Store(StoreError::Projection { projection, source }))) => {
                assert_eq!((id.as_str(), projection.as_str()), ("refused", "counts"));
                assert_eq!(source.to_string(), "this one is refused");
            }
            (_, Err(error)) => panic!("{error:?}"),
        }
    }
    assert_eq!(count(&model, "refused").await, 0);
    assert_eq!(read_all(&store).await.len(), 1500 + 60 * 2);

    // Somebody without the projection appends: the next append with it catches up.
    before.append(append("old", 3)).await.unwrap();
    store.append(append("new", 1)).await.unwrap();
    assert_eq!((count(&model, "old").await, count(&model, "new").await), (1503, 1));

    // What can't be decoded fails the append, too.
    let broken = EventData::new(EventType::new("account.opened").unwrap(), "broken");
    let outcome = store.append(Append::to(stream("broken"), ExpectedVersion::Any, vec![broken])).await;
    assert!(matches!(outcome, Err(AppendError::Store(StoreError::Projection { .. }))), "{outcome:?}");
    let outcome = store.append(append("panics", 1)).await;
    assert!(matches!(outcome, Err(AppendError::Store(StoreError::Projection { .. }))), "{outcome:?}");
    // Conflicts and repetitions write nothing and change nothing.
    let conflicting = Append::to(stream("new"), ExpectedVersion::NoStream, vec![event()]);
    assert!(matches!(store.append(conflicting).await, Err(AppendError::Conflict(_))));
    assert_eq!(count(&model, "new").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_at_once_beside_appends_count_everything_once() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let stores = [SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap()];
    let runners = stores.clone().map(|store| {
        let model = store.read_model();
        Recount::new(store).consumers().projection(Counts, model).start()
    });
    let writers = (0..8).map(|writer| {
        let store = stores[writer % 2].clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                store.append(append(&writer.to_string(), 3)).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let head = stores[0].head().await.unwrap();
    let model = stores[0].read_model();
    let caught_up = async {
        while model.checkpoint("counts").await.unwrap().position < head {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), caught_up).await.expect("no runner gets on");
    for writer in 0..8 {
        assert_eq!(count(&model, &writer.to_string()).await, 75);
    }
    for runner in runners {
        runner.shutdown().await;
    }
}

/// All read models of one store are one read model, whichever call or clone of the store gave them, and with any time limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_projection_of_a_name_is_refused_in_every_read_model_of_a_store() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(directory.path().join("events.db")).await.unwrap();
    let limited = store.read_model().with_time_limit(Duration::from_secs(5));
    let models = [store.read_model(), store.read_model(), store.clone().read_model(), limited];
    one_runner_of_a_name(Arc::new(store), || Counts, models, append("a", 1)).await;
}

async fn write(model: &SqliteReadModel, projection: &str, from: Position, to: Position) -> Result<(), CheckpointError> {
    let (mut transaction, checkpoint) = model.begin(projection).await?;
    assert!(checkpoint.position >= from);
    let insert = sqlx::query("INSERT INTO log VALUES (?)").bind(to.as_i64());
    insert.execute(SqliteReadModel::connection(&mut transaction)).await.unwrap();
    model.commit(transaction, projection, from.into(), to.into()).await
}

async fn log(model: &SqliteReadModel) -> Vec<i64> {
    sqlx::query_scalar("SELECT position FROM log ORDER BY position").fetch_all(model.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_moves_with_what_was_written_and_for_one_runner_only() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("model.db");
    // Two processes would have two instances.
    let models = [SqliteReadModel::open(&path).await.unwrap(), SqliteReadModel::open(&path).await.unwrap()];
    common::execute(&path, "CREATE TABLE log (position INTEGER)").await.unwrap();
    let at = Position::new;
    for step in 0..20 {
        let (from, to) = (at(step * 10), at(step * 10 + 10));
        let racing = models.clone().map(|model| tokio::spawn(async move { write(&model, "p", from, to).await }));
        let mut moved = 0;
        for outcome in racing {
            match outcome.await.unwrap() {
                Ok(()) => {}
                Err(CheckpointError::Moved { expected, actual, .. }) => {
                    assert_eq!((expected, actual), (from, to));
                    moved += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(moved, 1, "both runners of a projection got through");
    }
    assert_eq!(log(&models[0]).await, (1..=20).map(|step| step * 10).collect::<Vec<_>>());
    assert_eq!(models[1].checkpoint("p").await.unwrap().position, at(200));
    assert_eq!(models[1].checkpoint("p2").await.unwrap().position, Position::START);

    // Dropped transactions, in the middle of whatever, leave nothing and hold nobody up.
    for _ in 0..3 {
        let (mut transaction, _) = models[0].begin("p").await.unwrap();
        sqlx::query("INSERT INTO log VALUES (7)").execute(SqliteReadModel::connection(&mut transaction)).await.unwrap();
        drop(transaction);
        let begin = models[0].begin("p");
        drop(tokio::time::timeout(Duration::from_micros(50), begin).await);
    }
    write(&models[1], "p", at(200), at(210)).await.unwrap();
    assert_eq!(log(&models[0]).await.len(), 21);

    // A handler that ends the transaction itself is found out, and the next one starts afresh.
    for end in ["ROLLBACK", "COMMIT", "ROLLBACK; BEGIN", "COMMIT; BEGIN"] {
        let (mut transaction, _) = models[0].begin("p").await.unwrap();
        sqlx::raw_sql(end).execute(SqliteReadModel::connection(&mut transaction)).await.unwrap();
        assert!(models[0].commit(transaction, "p", at(210).into(), at(220).into()).await.is_err(), "{end}");
        assert_eq!(models[0].checkpoint("p").await.unwrap().position, at(210), "{end}");
    }
    write(&models[0], "p", at(210), at(230)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_in_the_store_and_its_writer_take_turns() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(directory.path().join("events.db")).await.unwrap();
    common::execute(store.path(), "CREATE TABLE log (position INTEGER)").await.unwrap();
    let model = store.read_model();
    let running = Arc::new(AtomicU64::new(1));
    let appended = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, running, appended) = (store.clone(), running.clone(), appended.clone());
            tokio::spawn(async move {
                while running.load(Ordering::Relaxed) == 1 {
                    store.append(append(&format!("s{writer}"), 1)).await.unwrap();
                    appended.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut written = 0;
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        write(&model, "p", Position::new(written), Position::new(written + 1)).await.unwrap();
        written += 1;
    }
    running.store(0, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let appended = appended.load(Ordering::Relaxed);
    assert!(written > 50 && appended > 200, "{written} transactions of the read model, {appended} appends");
    store.close().await;
    assert!(matches!(model.begin("p").await, Err(StoreError::Closed)));
}

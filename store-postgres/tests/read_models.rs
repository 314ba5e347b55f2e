//! Read models in Postgres: exactly once, one runner at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Fresh, append, counts, event};
use recount_core::{
    BoxError, CheckpointError, DecodeError, EncodeError, Event, EventData, EventStore, EventVariant, Position,
    Projection, ReadModel, RecordedEvent, Recount, StoreError,
};
use recount_store_postgres::PostgresReadModel;
use recount_testing::read_model::runners::one_runner_of_a_name;
use sqlx::{Connection, PgConnection};

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
    fn decode(_: &str, _: u32, _: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

/// Counts the events of each stream.
struct Counts;

impl Projection for Counts {
    type Event = Opened;
    type ReadModel = PostgresReadModel;
    fn name(&self) -> &str {
        "counts"
    }

    async fn setup(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
        counts::set_up(connection).await
    }

    async fn on(&self, _: &Opened, recorded: &RecordedEvent, connection: &mut PgConnection) -> Result<(), BoxError> {
        // A handler may use transactions of its own.
        let mut inner = connection.begin().await?;
        counts::add(recorded, &mut inner).await?;
        inner.commit().await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_at_once_beside_appends_count_everything_once() {
    let fresh = Fresh::new().await;
    let stores = [fresh.store().await, fresh.store().await];
    let runners = stores.clone().map(|store| {
        let model = store.read_model();
        Recount::new(store).consumers().projection(Counts, model).start()
    });
    let writers = (0..8).map(|writer| {
        let store = stores[writer % 2].clone();
        tokio::spawn(async move {
            for _ in 0..20 {
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
    tokio::time::timeout(Duration::from_secs(30), caught_up).await.expect("no runner gets on");
    for writer in 0..8 {
        assert_eq!(counts::counted(&writer.to_string(), model.pool()).await, 60);
    }
    for runner in runners {
        runner.shutdown().await;
    }
}

/// All read models of one store are one read model, whichever call or clone of the store gave them, and with any time limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_projection_of_a_name_is_refused_in_every_read_model_of_a_store() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let limited = store.read_model().with_time_limit(Duration::from_secs(5));
    let models = [store.read_model(), store.read_model(), store.clone().read_model(), limited];
    one_runner_of_a_name(Arc::new(store), || Counts, models, append("a", 1)).await;
}

async fn write(
    model: &PostgresReadModel,
    projection: &str,
    from: Position,
    to: Position,
) -> Result<(), CheckpointError> {
    let (mut transaction, checkpoint) = model.begin(projection).await?;
    assert!(checkpoint.position >= from);
    let insert = sqlx::query("INSERT INTO log VALUES ($1)").bind(to.as_i64());
    insert.execute(PostgresReadModel::connection(&mut transaction)).await.unwrap();
    model.commit(transaction, projection, from.into(), to.into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_moves_with_what_was_written_and_for_one_runner_only() {
    let fresh = Fresh::new().await;
    fresh.execute("CREATE TABLE log (position bigint)").await.unwrap();
    let models =
        [PostgresReadModel::open(&fresh.url()).await.unwrap(), PostgresReadModel::open(&fresh.url()).await.unwrap()];
    // The same database may hold a store later.
    let store = fresh.store().await;
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
    assert_eq!(fresh.number("SELECT count(*) FROM log").await, 20);
    assert_eq!(models[1].checkpoint("p").await.unwrap().position, at(200));
    assert_eq!(store.read_model().checkpoint("p2").await.unwrap().position, Position::START);

    // Dropped transactions, in the middle of whatever, leave nothing and hold nobody up.
    for _ in 0..3 {
        let (mut transaction, _) = models[0].begin("p").await.unwrap();
        let insert = sqlx::query("INSERT INTO log VALUES (7)");
        insert.execute(PostgresReadModel::connection(&mut transaction)).await.unwrap();
        drop(transaction);
        let begin = models[0].begin("p");
        drop(tokio::time::timeout(Duration::from_micros(50), begin).await);
    }
    write(&models[1], "p", at(200), at(210)).await.unwrap();
    assert_eq!(fresh.number("SELECT count(*) FROM log").await, 21);

    // A handler that ends the transaction itself is found out, and the next one starts afresh.
    for end in ["ROLLBACK", "COMMIT", "ROLLBACK; BEGIN"] {
        let (mut transaction, _) = models[0].begin("p").await.unwrap();
        sqlx::raw_sql(end).execute(PostgresReadModel::connection(&mut transaction)).await.unwrap();
        assert!(models[0].commit(transaction, "p", at(210).into(), at(220).into()).await.is_err(), "{end}");
        assert_eq!(models[0].checkpoint("p").await.unwrap().position, at(210), "{end}");
    }
    write(&models[0], "p", at(210), at(230)).await.unwrap();
    store.close().await;
    assert!(matches!(store.read_model().begin("p").await, Err(StoreError::Closed)));
}

/// Counts many events by one statement; refuses those of stream `refused`.
struct AtOnce;

impl Projection for AtOnce {
    type Event = Opened;
    type ReadModel = PostgresReadModel;
    fn name(&self) -> &str {
        "at_once"
    }

    async fn setup(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
        let create = "CREATE TABLE IF NOT EXISTS at_once (
                stream text CHECK (stream <> 'refused'), together bigint NOT NULL
            )";
        sqlx::raw_sql(create).execute(connection).await?;
        Ok(())
    }

    async fn on(
        &self,
        event: &Opened,
        recorded: &RecordedEvent,
        connection: &mut PgConnection,
    ) -> Result<(), BoxError> {
        let _ = event;
        let insert = sqlx::query("INSERT INTO at_once VALUES ($1, 1)").bind(recorded.stream.id());
        insert.execute(connection).await?;
        Ok(())
    }

    async fn on_many(
        &self,
        events: &[(Opened, &RecordedEvent)],
        connection: &mut PgConnection,
    ) -> Result<(), BoxError> {
        let streams: Vec<&str> = events.iter().map(|(_, recorded)| recorded.stream.id()).collect();
        let insert = sqlx::query("INSERT INTO at_once SELECT s, cardinality($1) FROM unnest($1::text[]) AS s");
        insert.bind(streams).execute(connection).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_are_taken_at_once_and_those_before_a_refused_one_are_kept() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    store.append(append("first", 300)).await.unwrap();
    let model = store.read_model();
    let recount = Recount::new(store.clone());

    let runner = recount.consumers().projection(AtOnce, model.clone()).start();
    let head = store.head().await.unwrap();
    assert!(runner.wait_for(head).await.is_ok());
    runner.shutdown().await;
    let count = "SELECT count(*), max(together) FROM at_once";
    let (events, together): (i64, i64) = sqlx::query_as(count).fetch_one(model.pool()).await.unwrap();
    assert_eq!(events, 300);
    assert!(together > 1, "each on its own");

    let good = store.append(append("second", 5)).await.unwrap().position;
    store.append(append("refused", 1)).await.unwrap();
    store.append(append("third", 5)).await.unwrap();
    let runner = recount.consumers().projection(AtOnce, model.clone()).start();
    assert!(runner.wait_for(good).await.is_ok());
    runner.shutdown().await;
    let (events, _): (i64, i64) = sqlx::query_as(count).fetch_one(model.pool()).await.unwrap();
    assert_eq!(events, 305);
    assert_eq!(model.checkpoint("at_once").await.unwrap().position, good);
}

//! A read model whose connection falls silent: every wait ends, no session stays idle in a transaction, and another runner goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::proxy::behind_a_proxy;
use common::{append, counts};
use recount_core::{
    BoxError, Consumers, Event, EventStore, Projection, ReadModel, RecordedEvent, Recount, Status, StoreError,
};
use recount_servers::Postgres;
use recount_store_postgres::{PostgresReadModel, PostgresStore};
use sqlx::{Connection, PgConnection};

const PATIENCE: Duration = Duration::from_secs(3);
/// The time limit of handlers, after which the server ends an idle transaction.
const LIMIT: Duration = Duration::from_secs(4);

#[derive(Event, Clone, Debug)]
#[event(name = "account", crate = "::recount_core")]
enum Opened {
    Opened {},
}

/// Counts the events of each stream in one row, which stays locked until the end of the transaction. When told to, it falls silent
/// behind its first statement.
struct Counts {
    silent: Option<Arc<AtomicBool>>,
    pauses: AtomicBool,
}

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
        counts::add(recorded, connection).await?;
        if let Some(silent) = &self.silent
            && self.pauses.swap(false, Ordering::SeqCst)
        {
            silent.store(true, Ordering::SeqCst);
        }
        // On a silent connection this has no answer.
        sqlx::query("SELECT 1").execute(connection).await?;
        Ok(())
    }
}

fn counting(silent: Option<&Arc<AtomicBool>>) -> Counts {
    Counts { silent: silent.cloned(), pauses: AtomicBool::new(true) }
}

async fn server() -> Postgres {
    tokio::task::spawn_blocking(|| Postgres::start(&[]).unwrap()).await.unwrap()
}

async fn open(url: &str) -> PostgresStore {
    PostgresStore::builder(url).patience(PATIENCE).open().await.unwrap()
}

fn start(store: &PostgresStore, counting: Counts) -> Consumers {
    let model = store.read_model().with_time_limit(LIMIT);
    Recount::new(store.clone()).consumers().projection(counting, model).start()
}

async fn counted(url: &str) -> i64 {
    let mut shell = PgConnection::connect(url).await.unwrap();
    counts::counted("a", &mut shell).await
}

/// How many sessions are idle in a transaction.
async fn idle(url: &str) -> i64 {
    let mut shell = PgConnection::connect(url).await.unwrap();
    let select = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()";
    sqlx::query_scalar(select).fetch_one(&mut shell).await.unwrap()
}

/// The row that it has written is locked until the server ends its session, so the other runner waits for no longer than the limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_falls_silent_in_its_transaction_holds_up_another_for_the_time_limit() {
    let server = server().await;
    let (proxy, url) = behind_a_proxy(&server).await;
    let (silent_store, healthy_store) = (open(&url).await, open(&server.url()).await);
    let last = healthy_store.append(append("a", 20)).await.unwrap().position;
    let silent = start(&silent_store, counting(Some(&proxy.silent)));
    while !proxy.silent.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Over a new connection it would go on at once, before the other runner or between two looks at its status.
    proxy.dead.store(true, Ordering::SeqCst);
    let started = Instant::now();
    let healthy = start(&healthy_store, counting(None));
    tokio::time::timeout(LIMIT * 3, healthy.wait_for(last)).await.expect("it is held up").unwrap();
    let took = started.elapsed();
    assert!(took < LIMIT + Duration::from_secs(3), "{took:?}");
    // The silent one notices by itself, says so, and goes on once it is heard.
    let waiting = async {
        while !matches!(silent.progress()[0].status, Status::Waiting { .. }) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT * 2, waiting).await.expect("it looks healthy");
    proxy.dead.store(false, Ordering::SeqCst);
    proxy.silent.store(false, Ordering::SeqCst);
    tokio::time::timeout(LIMIT * 4, silent.wait_for(last)).await.expect("it doesn't recover").unwrap();
    assert_eq!(counted(&server.url()).await, 20);
    assert_eq!(idle(&server.url()).await, 0);
}

/// In a network that swallows every answer, each step ends in time; then it works again, and each event counts once.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_network_is_waited_for_and_leaves_no_session_in_a_transaction() {
    let server = server().await;
    let (proxy, url) = behind_a_proxy(&server).await;
    let store = open(&url).await;
    store.append(append("a", 20)).await.unwrap();
    let running = start(&store, counting(Some(&proxy.dead)));
    let waiting = async {
        while !matches!(running.progress()[0].status, Status::Waiting { .. }) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT * 3, waiting).await.expect("it looks healthy");
    // Longer than eight retries would take.
    tokio::time::sleep(LIMIT * 3).await;
    assert!(matches!(running.progress()[0].status, Status::Waiting { .. }), "{:?}", running.progress());
    assert_eq!(idle(&server.url()).await, 0);
    proxy.dead.store(false, Ordering::SeqCst);
    let last = open(&server.url()).await.append(append("a", 5)).await.unwrap().position;
    tokio::time::timeout(LIMIT * 5, running.wait_for(last)).await.expect("it doesn't recover").unwrap();
    assert_eq!(counted(&server.url()).await, 25);
}

/// The steps of a transaction themselves: begin, statements of the read model, commit.
#[tokio::test(flavor = "multi_thread")]
async fn begin_and_commit_end_in_time_when_no_answer_comes() {
    let server = server().await;
    let (proxy, url) = behind_a_proxy(&server).await;
    let model = open(&url).await.read_model().with_time_limit(LIMIT);
    let start = recount_core::Checkpoint::START;
    let (transaction, _) = model.begin("p").await.unwrap();
    proxy.dead.store(true, Ordering::SeqCst);
    let started = Instant::now();
    let outcome = model.commit(transaction, "p", start, recount_core::Position::new(7).into()).await;
    let Err(recount_core::CheckpointError::Store(error)) = outcome else { panic!("{outcome:?}") };
    assert!(error.is_transient() && started.elapsed() < PATIENCE * 2, "{error:?}");
    let started = Instant::now();
    let error = model.begin("p").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }) && started.elapsed() < PATIENCE * 2, "{error:?}");
    // More often than the pool has connections: none is lost for ever.
    let begins = (0..20).map(|_| model.begin("p"));
    assert!(futures_util::future::join_all(begins).await.iter().all(Result::is_err));
    proxy.dead.store(false, Ordering::SeqCst);
    let recovered = async {
        while let Err(error) = model.begin("p").await {
            assert!(error.is_transient(), "{error:?}");
        }
    };
    tokio::time::timeout(PATIENCE * 4, recovered).await.expect("the pool is used up");
    let idle_ends = async {
        while idle(&server.url()).await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT * 2, idle_ends).await.expect("a session stays in its transaction");
}

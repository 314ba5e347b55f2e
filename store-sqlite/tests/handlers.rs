//! Handlers that write to the file that their own transaction has locked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{append, event, read_all, stream};
use recount_core::{
    Append, AppendError, BoxError, EventStore, ExpectedVersion, Projection, ReadModel, RecordedEvent, Recount,
    RetryBudget, StoreError,
};
use recount_store_sqlite::{SqliteReadModel, SqliteStore};
use recount_testing::store::probe::Tested;
use sqlx::SqliteConnection;
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_millis(500);
/// The time limit of these tests: a few times the store's patience.
const IN_TIME: Duration = Duration::from_secs(20);

fn tested(id: &str) -> Append {
    let mut append = append(id, 1);
    append.streams[0].events[0].event_type = recount_core::EventType::new("tested").unwrap();
    append
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The handler's call for an event of this stream.
#[derive(Default)]
struct Busy {
    store: Mutex<Option<SqliteStore>>,
    said: Mutex<Vec<String>>,
}

impl Busy {
    fn store(&self) -> SqliteStore {
        self.store.lock().unwrap().clone().unwrap()
    }

    fn say(&self, outcome: &Result<recount_core::Appended, AppendError>) {
        self.said.lock().unwrap().push(match outcome {
            Ok(_) => "appended".to_owned(),
            Err(error) => chain(error),
        });
    }
}

impl Projection for Busy {
    type Event = Tested;
    type ReadModel = SqliteReadModel;
    fn name(&self) -> &str {
        "busy"
    }

    async fn on(&self, _: &Tested, event: &RecordedEvent, _: &mut SqliteConnection) -> Result<(), BoxError> {
        let store = self.store();
        match event.stream.id() {
            "direct" => {
                let outcome = store.append(append("from the handler", 1)).await;
                self.say(&outcome);
                outcome?;
            }
            "spawned" => {
                let outcome = tokio::spawn(async move { store.append(append("from a task", 1)).await }).await?;
                self.say(&outcome);
                outcome?;
            }
            "nested" => {
                // A second transaction on the same file, from inside the first one.
                let begun = store.read_model().begin("nested").await.map(drop);
                self.said.lock().unwrap().push(begun.as_ref().err().map(|error| chain(error)).unwrap_or_default());
                begun?;
            }
            "closing" => store.close().await,
            "stuck" => pending::<()>().await,
            _ => {}
        }
        Ok(())
    }
}

async fn open(directory: &TempDir, inline: bool) -> (SqliteStore, Arc<Busy>) {
    let busy = Arc::new(Busy::default());
    let builder = SqliteStore::builder(directory.path().join("events.db")).patience(PATIENCE);
    let builder = if inline { builder.inline(Arc::clone(&busy)) } else { builder };
    let store = builder.open().await.unwrap();
    *busy.store.lock().unwrap() = Some(store.clone());
    (store, busy)
}

/// Appends that must fail because of the inline projection; the error names it.
async fn fails_inline(store: &SqliteStore, id: &str, reason: &str) {
    let outcome = timeout(IN_TIME, store.append(tested(id))).await.expect("in time");
    let error = outcome.unwrap_err();
    let named = matches!(&error, AppendError::Store(StoreError::Projection { projection, .. }) if projection == "busy");
    assert!(named && chain(&error).contains(reason), "{id}: {}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_handler_that_writes_fails_its_append_and_the_store_goes_on() {
    let directory = TempDir::new().unwrap();
    let (store, busy) = open(&directory, true).await;
    let started = Instant::now();
    fails_inline(&store, "direct", "would wait for itself").await;
    fails_inline(&store, "nested", "would wait for itself").await;
    assert!(started.elapsed() < PATIENCE, "found out at once, not by waiting");
    for (id, reason) in [("spawned", "has not returned within"), ("stuck", "has not returned within")] {
        fails_inline(&store, id, reason).await;
    }
    timeout(IN_TIME, store.health()).await.expect("health is told").unwrap();
    timeout(IN_TIME, store.append(tested("other"))).await.expect("in time").unwrap();
    assert!(read_all(&store).await.iter().all(|event| event.stream != stream("direct")));
    assert!(busy.said.lock().unwrap()[0].contains("projection busy"), "{:?}", busy.said.lock().unwrap());
    // The handler's close waits for the writer, which waits for the handler: bounded as well.
    fails_inline(&store, "closing", "has not returned within").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_writes_to_its_own_file_gets_an_error() {
    let directory = TempDir::new().unwrap();
    for (id, reason) in [("direct", "would wait for itself"), ("spawned", "by projection busy"), ("nested", "itself")] {
        let (store, busy) = open(&directory, false).await;
        store.append(tested(id)).await.unwrap();
        let retry = RetryBudget { time: Duration::ZERO, ..RetryBudget::default() };
        let recount = Recount::new(store.clone());
        let running = recount.consumers().retry(retry).projection(Arc::clone(&busy), store.read_model()).start();
        let stopped = timeout(IN_TIME, running.wait_for(store.head().await.unwrap())).await.expect("in time");
        let recount_core::Status::Stopped { error } = stopped.unwrap_err().status else { panic!("{id}") };
        assert!(error.contains(reason) && error.contains("events.db"), "{id}: {error}");
        timeout(IN_TIME, store.health()).await.expect("health is told").unwrap();
        running.shutdown().await;
        store.erase(&stream(id)).await.unwrap();
        store.close().await;
    }
}

/// Another handle on the same file, opened in the same process, is recognized as the same file.
#[tokio::test(flavor = "multi_thread")]
async fn another_instance_of_the_same_file_is_recognized() {
    let directory = TempDir::new().unwrap();
    let (store, busy) = open(&directory, false).await;
    let link = directory.path().join("link.db");
    #[cfg(unix)]
    std::os::unix::fs::symlink(store.path(), &link).unwrap();
    let path = if link.exists() { link.as_path() } else { store.path() };
    *busy.store.lock().unwrap() = Some(SqliteStore::builder(path).patience(PATIENCE).open().await.unwrap());
    store.append(tested("direct")).await.unwrap();
    let retry = RetryBudget { time: Duration::ZERO, ..RetryBudget::default() };
    let running = Recount::new(store.clone()).consumers().retry(retry);
    let running = running.projection(Arc::clone(&busy), store.read_model()).start();
    timeout(IN_TIME, running.wait_for(store.head().await.unwrap())).await.expect("in time").unwrap_err();
    assert!(busy.said.lock().unwrap()[0].contains("would wait for itself"), "{:?}", busy.said.lock().unwrap());
}

/// A handler of a read model in another file can write to the store, since its transaction does not lock the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_in_another_file_writes_to_the_store() {
    let directory = TempDir::new().unwrap();
    let (store, busy) = open(&directory, false).await;
    let model = SqliteReadModel::open(directory.path().join("model.db")).await.unwrap();
    let positions = [store.append(tested("direct")).await.unwrap(), store.append(tested("spawned")).await.unwrap()];
    let running = Recount::new(store.clone()).consumers().projection(Arc::clone(&busy), model).start();
    timeout(IN_TIME, running.wait_for(positions[1].position)).await.expect("in time").unwrap();
    assert_eq!(*busy.said.lock().unwrap(), ["appended", "appended"]);
}

/// Appends that wait for a stuck handler time out concurrently, not one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_appends_fail_each_in_its_own_time() {
    let directory = TempDir::new().unwrap();
    let (store, _) = open(&directory, false).await;
    let (transaction, _) = store.read_model().begin("holder").await.unwrap();
    let started = Instant::now();
    let waiting = (0..50).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let append = Append::to(stream(&n.to_string()), ExpectedVersion::Any, vec![event()]);
            (store.append(append).await.unwrap_err(), store.health().await.unwrap_err())
        })
    });
    for outcome in waiting.collect::<Vec<_>>() {
        let (append, health) = timeout(IN_TIME, outcome).await.expect("in time").unwrap();
        for error in [chain(&append), chain(&health)] {
            assert!(error.contains("projection holder") && error.contains("unavailable"), "{error}");
        }
    }
    assert!(started.elapsed() < PATIENCE * 6, "{:?}", started.elapsed());
    timeout(IN_TIME, store.close()).await.expect("closing doesn't wait for the handler");
    drop(transaction);
}

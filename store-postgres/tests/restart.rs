//! A server that is killed and started again under load: nothing acknowledged is lost, nothing is doubled, and nobody has to help.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{append, process, restart, stream};
use futures_util::StreamExt;
use recount_core::{Append, AppendError, Delivery, EventStore, ExpectedVersion, Position, Query, Recount, StoreError};
use recount_servers::Postgres;
use recount_store_postgres::PostgresStore;
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

const RESTARTS: usize = 10;
const WRITERS: usize = 16;
/// How soon everything works again once the server does.
const RECOVERY: Duration = Duration::from_secs(5);

/// The ids of the events of appends, by outcome.
#[derive(Default)]
struct Outcomes {
    acknowledged: Vec<Vec<Uuid>>,
    unknown: Vec<Vec<Uuid>>,
    failed: Vec<Vec<Uuid>>,
}

async fn write(store: PostgresStore, writer: usize, done: Arc<AtomicBool>, mut random: fastrand::Rng) -> Outcomes {
    let mut outcomes = Outcomes::default();
    while !done.load(Ordering::SeqCst) {
        let events = common::events(random.usize(1..6));
        let ids = events.iter().map(|event| event.id.0).collect();
        let request = Append::to(stream(&writer.to_string()), ExpectedVersion::Any, events);
        match store.append(request).await {
            Ok(_) => outcomes.acknowledged.push(ids),
            Err(AppendError::Store(StoreError::OutcomeUnknown { .. })) => outcomes.unknown.push(ids),
            Err(AppendError::Store(error)) if error.is_transient() => outcomes.failed.push(ids),
            Err(error) => panic!("writer {writer}: {error:?}"),
        }
    }
    outcomes
}

/// Follows the store; returns the positions that it saw.
async fn follow(store: PostgresStore, end: tokio::sync::watch::Receiver<Option<Position>>) -> Vec<i64> {
    let mut subscription = Recount::new(store).subscribe(Query::all(), Position::START);
    let (mut seen, mut reached) = (Vec::new(), Position::START);
    let mut told = end.clone();
    while end.borrow().is_none_or(|end| reached < end) {
        let delivery = tokio::select! {
            delivery = subscription.next() => delivery.expect("it goes on").unwrap(),
            Ok(()) = told.changed() => continue,
        };
        reached = delivery.position();
        if let Delivery::Event(event) = delivery {
            seen.push(event.position.as_i64());
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_killed_ten_times_under_load_loses_and_doubles_nothing() {
    let mut random = fastrand::Rng::with_seed(process::seed());
    let mut server = tokio::task::spawn_blocking(|| Postgres::start(&[]).unwrap()).await.unwrap();
    let stores = [PostgresStore::open(&server.url()).await.unwrap(), PostgresStore::open(&server.url()).await.unwrap()];
    let (end, told) = tokio::sync::watch::channel(None);
    let followers = stores.clone().map(|store| tokio::spawn(follow(store, told.clone())));
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(stores[writer % 2].clone(), writer, done.clone(), random.fork())))
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..RESTARTS {
        tokio::time::sleep(Duration::from_millis(random.u64(200..800))).await;
        server = restart(server).await;
        let started = Instant::now();
        for store in &stores {
            let again = async {
                while let Err(error) = store.append(append("again", 1)).await {
                    let AppendError::Store(error) = error else { panic!("{error:?}") };
                    assert!(error.is_transient() || matches!(error, StoreError::OutcomeUnknown { .. }), "{error:?}");
                }
            };
            tokio::time::timeout(RECOVERY, again).await.expect("appends go on soon");
        }
        slowest = slowest.max(started.elapsed());
    }
    done.store(true, Ordering::SeqCst);
    let mut outcomes = Outcomes::default();
    for writer in writers {
        let of = writer.await.unwrap();
        outcomes.acknowledged.extend(of.acknowledged);
        outcomes.unknown.extend(of.unknown);
        outcomes.failed.extend(of.failed);
    }

    let mut checker = PgConnection::connect(&server.url()).await.unwrap();
    let log: Vec<(i64, Uuid)> = sqlx::query("SELECT position, event_id FROM recount.events ORDER BY position")
        .map(|row: sqlx::postgres::PgRow| (row.get(0), row.get(1)))
        .fetch_all(&mut checker)
        .await
        .unwrap();
    let ids: HashSet<Uuid> = log.iter().map(|(_, id)| *id).collect();
    let there = |append: &[Uuid]| append.iter().filter(|id| ids.contains(id)).count();
    let committed = outcomes.unknown.iter().filter(|append| there(append) > 0).count();
    println!(
        "{} acknowledged, {} unknown of which {committed} are there, {} failed; works again after {slowest:?} at most",
        outcomes.acknowledged.len(),
        outcomes.unknown.len(),
        outcomes.failed.len(),
    );
    assert_eq!(ids.len(), log.len(), "an event is there twice");
    assert!(outcomes.acknowledged.len() > RESTARTS * WRITERS, "{} appends", outcomes.acknowledged.len());
    assert!(outcomes.acknowledged.iter().all(|append| there(append) == append.len()), "an acknowledged append is lost");
    assert!(outcomes.failed.iter().all(|append| there(append) == 0), "a failed append is there");
    assert!(
        outcomes.unknown.iter().all(|append| [0, append.len()].contains(&there(append))),
        "half an append is there"
    );
    let again = "SELECT event_id FROM recount.events WHERE stream <> 'account/again'";
    let others: Vec<Uuid> = sqlx::query_scalar(again).fetch_all(&mut checker).await.unwrap();
    let written: HashSet<&Uuid> = outcomes.acknowledged.iter().chain(&outcomes.unknown).flatten().collect();
    assert!(others.iter().all(|id| written.contains(id)), "an event is there that nobody wrote");

    // Nothing is appended any more: who follows comes to the end by himself.
    end.send(Some(Position::new(log.last().unwrap().0.cast_unsigned()))).unwrap();
    let all: Vec<i64> = log.iter().map(|(position, _)| *position).collect();
    for follower in followers {
        let seen = tokio::time::timeout(RECOVERY, follower).await.expect("a subscription comes to the end").unwrap();
        assert!(seen == all, "{} of {} events were seen", seen.len(), all.len());
    }
}

/// Without new traffic, and without looking by themselves, subscriptions learn what was appended around a restart.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_go_on_after_a_restart_without_new_traffic() {
    let mut server = tokio::task::spawn_blocking(|| Postgres::start(&[]).unwrap()).await.unwrap();
    // Only notifications can tell.
    let deaf = PostgresStore::builder(&server.url()).poll(Duration::from_secs(3600)).open().await.unwrap();
    let other = PostgresStore::open(&server.url()).await.unwrap();
    for _ in 0..3 {
        let mut watch = deaf.watch();
        let appended = other.append(append("a", 1)).await.unwrap();
        server = restart(server).await;
        let reached = watch.wait_for(|head| *head >= appended.position);
        tokio::time::timeout(RECOVERY, reached).await.expect("it catches up by itself").unwrap();
        // And listens again.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let appended = other.append(append("a", 1)).await.unwrap();
        let reached = watch.wait_for(|head| *head >= appended.position);
        tokio::time::timeout(Duration::from_secs(1), reached).await.expect("it listens again").unwrap();
    }
}

//! Dynamic boundaries under load: the black-box checks of dcb.events, and races at a size that leaves little to chance.
//!
//! The checks themselves are promises of every store (`recount_testing::store`); here they run for long, over many connections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::{Fresh, process, stream};
use futures_util::future::join_all;
use recount_core::{
    Append, AppendCondition, AppendError, EventData, EventStore, EventType, ExpectedVersion, Position, Query,
    QueryItem, Store, Tag,
};
use recount_store_postgres::PostgresStore;
use recount_testing::store::{Capabilities, Harness, check, conditions, order};

/// How often conditions race.
const ROUNDS: usize = 10_000;
/// How many appends race in a round, each from an instance of its own.
const RACERS: usize = 4;
/// How many rounds there are at once.
const LANES: usize = 8;

/// Does this many percent of the usual work.
struct Long(Fresh, usize);

#[async_trait]
impl Harness for Long {
    async fn open_another(&self) -> Arc<dyn Store> {
        Arc::new(self.0.another().await)
    }

    async fn save(&self) {
        self.0.save().await;
    }

    async fn restore(&self) {
        self.0.restore().await;
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.store().await)
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, instances: true }
    }
    fn effort(&self) -> usize {
        self.1
    }
}

/// Twenty writers with random queries for about ten seconds: every event's own condition, recomputed from the log.
#[test]
fn every_recorded_condition_held_for_long() {
    let started = Instant::now();
    check(async { Long(Fresh::new().await, 500) }, conditions::every_recorded_condition_held);
    println!("{:?}", started.elapsed());
}

/// No event ever appears between positions that were already read.
#[test]
fn nothing_appears_between_read_positions_for_long() {
    let started = Instant::now();
    check(async { Long(Fresh::new().await, 500) }, order::everything_up_to_the_head_is_readable);
    println!("{:?}", started.elapsed());
}

/// Unrelated tags never conflict, at full concurrency.
#[test]
fn disjoint_conditions_never_conflict_for_long() {
    let started = Instant::now();
    check(async { Long(Fresh::new().await, 2_000) }, conditions::disjoint_conditions_never_conflict);
    println!("{:?}", started.elapsed());
}

/// Of conditions that overlap exactly one wins, in each of ten thousand rounds, whoever writes: four instances, thus
/// connections of their own, each of which does several rounds at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_overlapping_conditions_one_wins_ten_thousand_times() {
    let fresh = Fresh::new().await;
    let stores: Arc<[PostgresStore]> = join_all((0..RACERS).map(|_| fresh.store())).await.into();
    let seed = process::seed();
    let started = Instant::now();
    let lanes = (0..LANES).map(|lane| {
        let stores = stores.clone();
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(lane as u64));
        tokio::spawn(async move {
            for round in (lane..ROUNDS).step_by(LANES) {
                let racers = stores.iter().enumerate().map(|(racer, store)| {
                    let (store, request) = (store.clone(), book(round, racer));
                    let delay = Duration::from_micros(if random.bool() { 0 } else { random.u64(..500) });
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        store.append(request).await
                    })
                });
                let outcomes = join_all(racers.collect::<Vec<_>>()).await;
                let mut won = 0;
                for outcome in outcomes {
                    match outcome.unwrap() {
                        Ok(_) => won += 1,
                        Err(AppendError::Conflict(_)) => {}
                        Err(error) => panic!("round {round}: {error:?}"),
                    }
                }
                assert_eq!(won, 1, "round {round}");
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
    println!("{ROUNDS} rounds in {:?}", started.elapsed());
    // By plain SQL: every seat was booked once, and nothing else is there.
    assert_eq!(fresh.number("SELECT count(*) FROM recount.events").await, ROUNDS as i64);
    let seats = "SELECT count(DISTINCT tag) FROM recount.tags WHERE tag LIKE 'seat:%'";
    assert_eq!(fresh.number(seats).await, ROUNDS as i64);
}

/// Books a seat unless somebody has. What is asked differs from racer to racer, and they all exclude each other.
fn book(round: usize, racer: usize) -> Append {
    let (seat, row) = (Tag::new(format!("seat:{round}")).unwrap(), Tag::new(format!("row:{round}")).unwrap());
    let booked = EventType::new("seat.booked").unwrap();
    let item = |types: &[&EventType], tags: &[&Tag]| QueryItem {
        event_types: types.iter().map(|&name| name.clone()).collect(),
        tags: tags.iter().map(|&tag| tag.clone()).collect(),
        category: None,
    };
    let query = match racer % 4 {
        0 => Query::item(item(&[], &[&seat])),
        1 => Query::item(item(&[&booked], &[&row, &seat])),
        2 => Query::item(item(&[&booked], &[&row])),
        _ => Query::item(item(&[], &[&Tag::new("nobody").unwrap()])).or(item(&[], &[&seat, &row])),
    };
    let event = EventData { tags: vec![seat, row], ..EventData::new(booked, "{}") };
    Append::to(stream(&format!("{round}-{racer}")), ExpectedVersion::Any, vec![event])
        .condition(AppendCondition { fail_if: query, after: Position::START })
}

//! Two workers on one store, killed at random moments and started again: the books balance, and nothing happens twice.
//!
//! `SHOP_KILLS=200` kills as often on each store, `SHOP_SEED` repeats a run.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::fs::File;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Place, Postgres, balances, broken_orders, outcome, rule, ruled, sample};
use flate2::read::GzDecoder;
use serde_json::Value;
use sqlx::{AssertSqlSafe, query_as};

/// How many orders each store gets; it is emptied when they are all through, and gets them again.
const ORDERS: usize = 2_000;
/// How long a worker lives at most.
const LIFE: Duration = Duration::from_millis(1_200);
/// How long the workers have for the rest, after the last kill.
const LIMIT: Duration = Duration::from_secs(180);

fn kills() -> usize {
    std::env::var("SHOP_KILLS").map_or(10, |kills| kills.parse().unwrap())
}

fn random() -> fastrand::Rng {
    let seed = std::env::var("SHOP_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SHOP_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// A directory with the first orders of the sample.
fn place() -> Place {
    let place = Place::new();
    let mut orders = String::new();
    GzDecoder::new(File::open(sample()).unwrap()).read_to_string(&mut orders).unwrap();
    let few: Vec<&str> = orders.lines().take(ORDERS).collect();
    place.write("orders.txt", few.join("\n") + "\n");
    place
}

fn worker(place: &Place, store: &str) -> Child {
    let mut command = place.shop();
    command.args(["--orders", "orders.txt", "--json", "--store", store]);
    let log = File::options().create(true).append(true).open(place.path("workers.log")).unwrap();
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// The last lines of the workers' output.
fn log(place: &Place) -> String {
    let log = std::fs::read_to_string(place.path("workers.log")).unwrap();
    log.lines().rev().take(20).map(|line| format!("\n{line}")).collect()
}

/// Two workers. Kills one of them again and again, at most so often, until one gets to the end. Returns how often.
fn harass(place: &Place, store: &str, most: usize, random: &mut fastrand::Rng) -> usize {
    let mut workers = [worker(place, store), worker(place, store)];
    let mut kills = 0;
    while kills < most {
        std::thread::sleep(LIFE.mul_f64(random.f64()));
        if workers.iter_mut().any(|worker| worker.try_wait().unwrap().is_some()) {
            break;
        }
        let victim = &mut workers[random.usize(..2)];
        victim.kill().unwrap();
        let status = std::mem::replace(victim, worker(place, store)).wait().unwrap();
        assert_ne!(status.code(), Some(1), "{}", log(place));
        kills += 1;
    }
    let deadline = Instant::now() + LIMIT;
    for mut worker in workers {
        while worker.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the workers don't get to the end: {}", log(place));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(worker.wait().unwrap().success(), "{}", log(place));
    }
    kills
}

/// The promises that hold when the workers have finished.
fn check(report: &Value, broken: i64, ruled: &[(String, String, i64)]) {
    balances(report);
    assert_eq!(report["orders"], ORDERS);
    assert_eq!(broken, 0, "orders to which something happened twice or in part");
    // A customer answers an invoice late if the workers were down meanwhile.
    let may_be_late = ["cancelled", "overdue", "shipped", "shipped_late", "sold_out"];
    for (by_the_rule, became, orders) in ruled {
        let late = became == "overdue" && may_be_late.contains(&by_the_rule.as_str());
        assert!(by_the_rule == became || late, "{orders} orders became {became}, but should be {by_the_rule}");
    }
    println!("{} of {ORDERS} orders are shipped", outcome(report, "shipped"));
}

#[tokio::test]
async fn two_workers_that_are_killed_on_sqlite_do_everything_once() {
    let (mut random, mut rest) = (random(), kills());
    while rest > 0 {
        let place = place();
        rest -= harass(&place, "sqlite://shop.db", rest, &mut random);
        let report = place.report(&["--orders", "orders.txt"]);
        let mut database = place.database().await;
        let broken = AssertSqlSafe(broken_orders("event_log"));
        let (broken,): (i64,) = query_as(broken).fetch_one(&mut database).await.unwrap();
        check(&report, broken, &ruled(&mut database).await);
        println!("{rest} kills are left");
    }
}

#[tokio::test]
async fn two_workers_that_are_killed_on_postgres_do_everything_once() {
    let (mut random, mut rest) = (random(), kills());
    while rest > 0 {
        let (place, postgres) = (place(), Postgres::create().await);
        rest -= harass(&place, &postgres.url, rest, &mut random);
        let report = place.report(&["--orders", "orders.txt", "--store", &postgres.url]);
        let mut shell = postgres.connect().await;
        let broken = AssertSqlSafe(broken_orders("recount.event_log"));
        let (broken,): (i64,) = query_as(broken).fetch_one(&mut shell).await.unwrap();
        sqlx::raw_sql("SET search_path = recount_shop").execute(&mut shell).await.unwrap();
        let ruled: Vec<(String, String, i64)> = query_as(AssertSqlSafe(rule())).fetch_all(&mut shell).await.unwrap();
        check(&report, broken, &ruled);
        println!("{rest} kills are left");
        drop(shell);
        postgres.drop().await;
    }
}

//! The shop as six processes over a real broker, of which one is killed each second: no order is lost, and nothing happens twice.
//!
//! `SHOP_SEED` repeats the kills of a run.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Place, sample};
use recount_servers::{Nats, RabbitMq};
use serde_json::Value;

const ORDERS: u64 = 300;
const SECONDS: u64 = 8;

/// Runs the services over a broker, with chaos.
fn chaos(url: &str) {
    let seed = std::env::var("SHOP_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SHOP_SEED={seed}");
    let place = Place::new();
    let (orders, seconds, seed, sample) = (ORDERS.to_string(), SECONDS.to_string(), seed.to_string(), sample());
    let mut command = place.shop();
    // Of the broker's address only the environment of the processes knows.
    command.env("SHOP_BROKER", url).args(["services", "--stores", "stores", "--orders", &sample]);
    command.args(["--orders-limit", &orders, "--chaos", &seconds, "--seed", &seed, "--check", "--json"]);
    let output = command.output().unwrap();
    let log = common::text(&output.stderr);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{log}"));
    println!("{verdict}");
    assert!(output.status.success(), "{verdict}\n{log}");
    for (what, expected) in [("orders", ORDERS), ("accepted", ORDERS), ("lost", 0), ("doubled", 0)] {
        assert_eq!(verdict[what], expected, "{what}: {verdict}\n{log}");
    }
    assert_eq!(verdict["books_agree"], true);
    let kills: u64 = verdict["kills"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert!(kills >= SECONDS / 2, "{verdict}");
    assert!(verdict["restarts"].as_u64().unwrap() >= kills, "{verdict}");
}

#[test]
fn six_services_that_are_killed_over_nats_lose_no_order_and_do_nothing_twice() {
    let nats = Nats::start().unwrap();
    chaos(&nats.url());
}

#[test]
fn six_services_that_are_killed_over_rabbitmq_lose_no_order_and_do_nothing_twice() {
    let rabbit = RabbitMq::start().unwrap();
    chaos(&rabbit.url());
}

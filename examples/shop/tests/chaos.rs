//! The shop as six processes over a real broker, of which one is killed each second: no order is lost, and nothing happens twice.
//!
//! `SHOP_SEED` repeats the kills of a run. `SHOP_ORDERS` and `SHOP_CHAOS`, in seconds, make it longer.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Place, sample};
#[cfg(feature = "kafka")]
use recount_servers::Kafka;
#[cfg(feature = "google")]
use recount_servers::PubSub;
#[cfg(feature = "pulsar")]
use recount_servers::Pulsar;
#[cfg(feature = "aws")]
use recount_servers::{Aws, AwsKind};
use recount_servers::{Nats, RabbitMq};
use serde_json::Value;

/// A number that the environment may set.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// Runs the services over a broker, with chaos.
fn chaos(url: &str) {
    let (orders, seconds) = (number("SHOP_ORDERS", 300), number("SHOP_CHAOS", 8));
    let seed = number("SHOP_SEED", fastrand::u64(..));
    println!("SHOP_SEED={seed}");
    let place = Place::new();
    let mut command = place.shop();
    // Of the broker's address only the environment of the processes knows.
    command.env("SHOP_BROKER", url).args([
        "services",
        "--stores",
        "stores",
        "--orders",
        &sample(),
        "--check",
        "--json",
    ]);
    for (option, value) in [("--orders-limit", orders), ("--chaos", seconds), ("--seed", seed)] {
        command.args([option, &value.to_string()]);
    }
    let output = command.output().unwrap();
    let log = common::text(&output.stderr);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{log}"));
    println!("{verdict}");
    assert!(output.status.success(), "{verdict}\n{log}");
    for (what, expected) in [("orders", orders), ("accepted", orders), ("lost", 0), ("doubled", 0)] {
        assert_eq!(verdict[what], expected, "{what}: {verdict}\n{log}");
    }
    assert_eq!(verdict["books_agree"], true);
    let kills: u64 = verdict["kills"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert!(kills >= seconds / 2, "{verdict}");
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

#[cfg(feature = "aws")]
#[test]
fn six_services_that_are_killed_over_sns_and_sqs_lose_no_order_and_do_nothing_twice() {
    let aws = Aws::start(AwsKind::FauxqsInMemory).unwrap();
    chaos(&format!("{}&wait=1", aws.url()));
}

/// The server is killed and started again while the services are, and all of them find each other again.
#[cfg(feature = "pulsar")]
#[test]
fn six_services_and_their_pulsar_that_are_killed_lose_no_order_and_do_nothing_twice() {
    let mut pulsar = Pulsar::start().unwrap();
    let url = pulsar.url();
    let services = std::thread::spawn(move || chaos(&url));
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_secs(5));
        pulsar.restart().unwrap();
    }
    if let Err(panic) = services.join() {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(feature = "kafka")]
#[test]
fn six_services_that_are_killed_over_kafka_lose_no_order_and_do_nothing_twice() {
    let kafka = Kafka::start().unwrap();
    chaos(&kafka.url());
}

#[cfg(feature = "google")]
#[test]
fn six_services_that_are_killed_over_pub_sub_lose_no_order_and_do_nothing_twice() {
    let server = PubSub::start().unwrap();
    chaos(&server.url("shop"));
}

//! What survives `kill -9`: everything, once.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Place, SAMPLE, sample, totals, totals_of_the_log, totals_of_the_read_model};
use serde_json::Value;
use sqlx::query_as;

const KILLS: usize = 50;
const SIGKILL: i32 = 9;

/// Each import is killed again and again until it gets to its end; then the next one begins in a new directory.
#[tokio::test]
async fn fifty_kills_lose_nothing_and_do_nothing_twice() {
    let seed = std::env::var("SHOP_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SHOP_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let whole = {
        let (place, start) = (Place::new(), Instant::now());
        assert_eq!(totals(&place.report(&["--orders", &sample()])), SAMPLE);
        start.elapsed()
    };
    let mut kills = 0;
    while kills < KILLS {
        let place = Place::new();
        while kills < KILLS {
            // One in five while it starts, the others anywhere: together they pass the whole import, more than once.
            let most = if random.u8(..5) == 0 { Duration::from_millis(120) } else { whole / 10 };
            let delay = most.mul_f64(random.f64());
            if !killed(start(&place), delay) {
                println!("{kills} kills: an import got to its end");
                break;
            }
            kills += 1;
            println!("killed after {delay:?}");
        }
        check(&place).await;
    }
}

fn start(place: &Place) -> Child {
    let mut command = place.shop();
    command.args(["--orders", &sample(), "--json"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Kills it after a while. False if it was done by then.
fn killed(mut shop: Child, delay: Duration) -> bool {
    std::thread::sleep(delay);
    shop.kill().unwrap();
    let output = shop.wait_with_output().unwrap();
    match output.status.signal() {
        Some(signal) => {
            assert_eq!(signal, SIGKILL, "{output:?}");
            true
        }
        None => {
            assert!(output.status.success(), "{output:?}");
            false
        }
    }
}

/// Runs to the end what was killed: totals are exact, nothing happened twice, and the read model is a fold of the log.
async fn check(place: &Place) {
    assert_eq!(totals(&place.report(&["--orders", &sample()])), SAMPLE);
    let mut database = place.database().await;
    assert_eq!(totals_of_the_log(&mut database).await, SAMPLE);
    assert_eq!(totals_of_the_read_model(&mut database).await, SAMPLE);

    let mut expected = Tables::default();
    let log: Vec<(String, String)> =
        query_as("SELECT type, payload FROM event_log ORDER BY position").fetch_all(&mut database).await.unwrap();
    for (event_type, payload) in log {
        expected.fold(&event_type, &serde_json::from_str(&payload).unwrap());
    }
    let orders: Vec<(String, String, String, i64, i64)> =
        query_as("SELECT \"order\", customer, day, cds, paid FROM orders").fetch_all(&mut database).await.unwrap();
    let stock: Vec<(String, i64, i64)> =
        query_as("SELECT warehouse, delivered, shipped FROM stock").fetch_all(&mut database).await.unwrap();
    let notified: Vec<(String, String)> =
        query_as("SELECT kind, about FROM notifications").fetch_all(&mut database).await.unwrap();
    let mut actual = Tables::default();
    for (order, customer, day, cds, paid) in orders {
        actual.orders.insert(order, (customer, day, cds, Some(paid)));
    }
    for (warehouse, delivered, shipped) in stock {
        actual.stock.insert(warehouse, (delivered, shipped));
    }
    for notified in notified {
        *actual.notified.entry(notified).or_default() += 1;
    }
    assert!(expected.notified.values().all(|times| *times == 1), "somebody was notified twice");
    assert!(expected == actual, "a read model is not what the log says");
}

/// The read models.
#[derive(Default, PartialEq)]
struct Tables {
    orders: BTreeMap<String, (String, String, i64, Option<i64>)>,
    stock: BTreeMap<String, (i64, i64)>,
    notified: BTreeMap<(String, String), u32>,
}

impl Tables {
    fn fold(&mut self, event_type: &str, event: &Value) {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        let number = |name: &str| event[name].as_i64().unwrap();
        let mut notify = |kind: &str, about| *self.notified.entry((kind.to_owned(), about)).or_default() += 1;
        match event_type {
            "customer.registered" => notify("welcome", text("customer")),
            "order.placed" => {
                let order = (text("customer"), text("day"), number("cds"), None);
                self.orders.insert(text("order"), order);
            }
            "payment.captured" => {
                notify("receipt", text("order"));
                self.orders.get_mut(&text("order")).unwrap().3 = event["amount"]["cents"].as_i64();
            }
            "payment.waived" => self.orders.get_mut(&text("order")).unwrap().3 = Some(0),
            "stock.delivered" => self.stock.entry(text("warehouse")).or_default().0 += number("cds"),
            "stock.shipped" => {
                notify("shipped", text("order"));
                self.stock.entry(text("warehouse")).or_default().1 += number("cds");
            }
            other => panic!("an event of type {other}"),
        }
    }
}

//! What survives `kill -9`: everything, once.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Place, SAMPLE, balances, sample, totals, totals_of_the_log, totals_of_the_read_model};
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
    let report = place.report(&["--orders", &sample()]);
    assert_eq!(totals(&report), SAMPLE);
    balances(&report);
    let mut database = place.database().await;
    assert_eq!(totals_of_the_log(&mut database).await, SAMPLE);
    assert_eq!(totals_of_the_read_model(&mut database).await, SAMPLE);

    let mut expected = Tables::default();
    let log: Vec<(String, String)> =
        query_as("SELECT type, payload FROM event_log ORDER BY position").fetch_all(&mut database).await.unwrap();
    for (event_type, payload) in log {
        expected.fold(&event_type, &serde_json::from_str(&payload).unwrap());
    }
    let mut actual = Tables::default();
    type Row = (String, String, String, i64, Option<i64>, Option<i64>);
    let orders: Vec<Row> = query_as("SELECT \"order\", customer, day, cds, paid, refunded FROM orders")
        .fetch_all(&mut database)
        .await
        .unwrap();
    for (order, customer, day, cds, paid, refunded) in orders {
        actual.orders.insert(order, (customer, day, cds, Money { paid, refunded }));
    }
    let outcomes: Vec<(String, String)> =
        query_as("SELECT \"order\", outcome FROM orders").fetch_all(&mut database).await.unwrap();
    actual.outcomes.extend(outcomes);
    let stock: Vec<(String, i64, i64, i64, i64)> =
        query_as("SELECT warehouse, delivered, reserved, released, shipped FROM stock")
            .fetch_all(&mut database)
            .await
            .unwrap();
    actual.stock.extend(stock.into_iter().map(|(warehouse, a, b, c, d)| (warehouse, [a, b, c, d])));
    let notified: Vec<(String, String)> =
        query_as("SELECT kind, about FROM notifications").fetch_all(&mut database).await.unwrap();
    for notified in notified {
        *actual.notified.entry(notified).or_default() += 1;
    }
    assert!(expected.notified.values().all(|times| *times == 1), "somebody was notified twice");
    assert!(expected == actual, "a read model is not what the log says");
}

/// The payments and refunds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Money {
    paid: Option<i64>,
    refunded: Option<i64>,
}

/// The read models.
#[derive(Default, PartialEq)]
struct Tables {
    orders: BTreeMap<String, (String, String, i64, Money)>,
    outcomes: BTreeMap<String, String>,
    /// Delivered, reserved, released and shipped.
    stock: BTreeMap<String, [i64; 4]>,
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
                let order = (text("customer"), text("day"), number("cds"), Money::default());
                self.orders.insert(text("order"), order);
            }
            "payment.captured" => {
                notify("receipt", text("order"));
                self.orders.get_mut(&text("order")).unwrap().3.paid = event["amount"]["cents"].as_i64();
            }
            "payment.waived" => self.orders.get_mut(&text("order")).unwrap().3.paid = Some(0),
            "payment.refunded" => {
                notify("refund", text("order"));
                self.orders.get_mut(&text("order")).unwrap().3.refunded = event["amount"]["cents"].as_i64();
            }
            "notification.told" => {
                let news = &event["news"];
                let kind = news.as_str().unwrap_or_else(|| news.as_object().unwrap().keys().next().unwrap());
                notify(kind, text("order"));
                self.outcomes.insert(text("order"), kind.to_owned());
            }
            "stock.delivered" => self.stock.entry(text("warehouse")).or_default()[0] += number("cds"),
            "stock.reserved" => self.stock.entry(text("warehouse")).or_default()[1] += number("cds"),
            "stock.released" => self.stock.entry(text("warehouse")).or_default()[2] += number("cds"),
            "stock.shipped" => self.stock.entry(text("warehouse")).or_default()[3] += number("cds"),
            "order.cancelled" | "payment.invoiced" | "payment.overdue" | "payment.voided" => {}
            of_the_process if of_the_process.starts_with("fulfilment.") || of_the_process.starts_with("recount.") => {}
            other => panic!("an event of type {other}"),
        }
    }
}

//! The shop as six services: each order has its outcome, and the books of all services agree.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::time::{Duration, Instant};

use common::{Place, Postgres, sample};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

const ORDERS: u64 = 300;

/// Runs the services in one process, with these stores, and so many orders of a file.
fn services(place: &Place, stores: &str, orders: &str, limit: u64, more: &[&str]) -> (Value, bool) {
    let limit = limit.to_string();
    let fixed = ["services", "--broker", "inprocess://", "--stores", stores, "--orders", orders];
    let output = place.run(&[&fixed[..], &["--orders-limit", &limit, "--check", "--json"], more].concat());
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (verdict, output.status.success())
}

/// Orders of which some have each outcome.
fn all_outcomes() -> String {
    let order = |line: u32| {
        let cds = match line % 30 {
            7 => 15,
            11 => 25,
            _ => 1,
        };
        format!("{line} 19970101 {cds} 11.77\n")
    };
    (1..=100).map(order).collect()
}

/// Changes the store of a service, behind its back.
async fn tamper(place: &Place, service: &str, sql: &str) {
    let file = place.path(&format!("stores/{service}.db"));
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

#[test]
fn six_services_in_one_process_agree_on_the_outcome_of_each_order() {
    let place = Place::new();
    let (verdict, agree) = services(&place, "stores", &sample(), ORDERS, &[]);
    assert!(agree, "{verdict}");
    for (what, expected) in [("orders", ORDERS), ("accepted", ORDERS), ("lost", 0), ("doubled", 0)] {
        assert_eq!(verdict[what], expected, "{what}: {verdict}");
    }
    assert_eq!(verdict["books_agree"], true);
    assert_eq!(verdict["accepted_percent"], 100.0);
    let outcomes = verdict["outcomes"].as_object().unwrap();
    assert_eq!(outcomes.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), ORDERS);

    // Submitted again, each order is there already.
    let (again, agree) = services(&place, "stores", &sample(), ORDERS, &[]);
    assert!(agree, "{again}");
    for what in ["orders", "outcomes", "money", "shipped_cds"] {
        assert_eq!(again[what], verdict[what]);
    }
}

#[test]
fn orders_take_each_way_across_the_services() {
    let place = Place::new();
    place.write("orders.txt", all_outcomes());
    let (verdict, agree) = services(&place, "stores", "orders.txt", 100, &[]);
    assert!(agree, "{verdict}");
    let count = |outcome: &str| verdict["outcomes"][outcome].as_u64().unwrap_or_default();
    assert_eq!((count("declined"), count("shipped_late"), count("sold_out")), (1, 4, 3), "{verdict}");
    // Customers forget two invoices, cancel one, and pay two. On a busy machine an answer can be too late.
    assert!(count("overdue") >= 2 && count("cancelled") + count("overdue") >= 3, "{verdict}");
    assert_eq!(count("cancelled") + count("overdue") + count("shipped"), 92, "{verdict}");
    assert_eq!(verdict["compensated"], 100 - count("shipped") - count("shipped_late"), "{verdict}");
}

#[tokio::test]
async fn six_services_with_a_database_each_agree_too() {
    let (place, postgres) = (Place::new(), Postgres::create().await);
    let (verdict, agree) = services(&place, &postgres.url, &sample(), 60, &[]);
    assert!(agree, "{verdict}");
    assert_eq!(verdict["orders"], 60, "{verdict}");
    assert_eq!(place.files(), (vec![], vec![]), "nothing is in files");
    postgres.drop().await;
}

#[tokio::test]
async fn the_check_finds_what_is_lost_doubled_and_changed() {
    let place = Place::new();
    let (verdict, agree) = services(&place, "stores", &sample(), 20, &[]);
    assert!(agree, "{verdict}");
    let tell = "INSERT INTO shop.notifications SELECT kind, about || '!', customer, text FROM notifications LIMIT 1";
    for (service, sql, difference) in [
        ("notification", tell.replace("shop.", "").as_str(), "notification's table"),
        ("analytics", "UPDATE orders SET paid = paid + 1 WHERE paid > 0", "analytics has"),
        ("analytics", "DELETE FROM orders WHERE outcome = 'shipped'", "analytics has no row"),
        ("inventory", "UPDATE stock SET shipped = shipped + 1", "inventory's table"),
    ] {
        let (copy, name) = (Place::new(), format!("{service}.db"));
        std::fs::create_dir(copy.path("stores")).unwrap();
        for file in std::fs::read_dir(place.path("stores")).unwrap().map(|file| file.unwrap()) {
            std::fs::copy(file.path(), copy.path("stores").join(file.file_name())).unwrap();
        }
        tamper(&copy, service, sql).await;
        let (verdict, agree) = services(&copy, "stores", &sample(), 20, &["--patience", "1"]);
        assert!(!agree && verdict["books_agree"] == false, "{name}: {verdict}");
        let told = verdict["differences"].as_array().unwrap();
        assert!(told.iter().any(|text| text.as_str().unwrap().contains(difference)), "{name}: {verdict}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused_with_a_reason() {
    let place = Place::new();
    let refused = |options: &[&str], reason: &str| {
        let output = place.run(&[&["services"][..], options].concat());
        let text = common::text(&output.stderr);
        assert!(!output.status.success() && text.contains(reason), "{options:?}: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    };
    refused(&["--broker", "inprocess://", "--chaos", "5"], "use another broker");
    refused(&["--broker", "inprocess://", "--name", "my shop"], "--name");
    refused(&["--broker", "inprocess://", "--stores", "mysql://ada:s3cret@localhost/shop"], "write a directory");
    let broker = ["service", "user", "--broker", "mqtt://ada:s3cret@localhost", "--store", "sqlite://user.db"];
    let output = place.run(&broker);
    let text = common::text(&output.stderr);
    assert!(!output.status.success() && text.contains("write inprocess://") && !text.contains("s3cret"), "{text}");
}

/// Kills the program in the middle of its orders, and starts it again.
#[test]
fn a_shop_that_is_killed_finishes_its_orders_when_it_is_started_again() {
    let (place, orders) = (Place::new(), "400");
    let options = ["--stores", "stores", "--orders", &sample(), "--orders-limit", orders, "--check", "--json"];
    for more in [1, 100, 200] {
        let mut shop = place.shop();
        let mut running = shop.args(["services", "--broker", "inprocess://"]).args(options).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(90);
        // In between are the messages that the broker has.
        while recorded(&place, "order", PLACED) < more
            || recorded(&place, "order", PLACED) < recorded(&place, "analytics", HEARD) + 10
        {
            assert!(Instant::now() < until, "no order is under way");
            assert!(running.try_wait().unwrap().is_none(), "the shop has ended by itself");
            std::thread::sleep(Duration::from_millis(5));
        }
        // SIGKILL.
        running.kill().unwrap();
        running.wait().unwrap();
    }
    let (verdict, agree) = services(&place, "stores", &sample(), 400, &[]);
    assert!(agree, "{verdict}");
    for (what, expected) in [("orders", 400), ("lost", 0), ("doubled", 0)] {
        assert_eq!(verdict[what], expected, "{what}: {verdict}");
    }
}

const PLACED: &str = "SELECT count(*) FROM event_log WHERE type = 'order.placed'";
const HEARD: &str = "SELECT count(*) FROM orders";

/// Counts rows in the store of a service.
#[tokio::main(flavor = "current_thread")]
async fn recorded(place: &Place, service: &str, sql: &'static str) -> i64 {
    let file = place.path(&format!("stores/{service}.db"));
    let Ok(mut connection) = SqliteConnectOptions::new().filename(file).read_only(true).connect().await else {
        return 0;
    };
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap_or(0)
}

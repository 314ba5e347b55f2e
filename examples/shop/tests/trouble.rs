//! What it says about input that it can't take, and what it leaves behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Place, sample, text, totals};
use serde_json::Value;

const ORDERS: &str = "1 19970101 1 11.77\n2 19970102 2 20.00\n";

#[test]
fn malformed_lines_are_reported_and_counted_and_the_others_are_in() {
    let place = Place::new();
    place
        .write("orders.txt", "1 19970101 1 11.77\nnonsense\n1 19970101 1 11.77\n2 19971301 1 5.00\n2 19970102 2 20.00");
    let output = place.run(&["--orders", "orders.txt", "--json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(
        text(&output.stderr),
        "orders.txt:2: 1 fields where customer, day, CDs and dollars were expected\n\
         orders.txt:4: day \"19971301\" is not a date as yyyymmdd\n"
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((totals(&report), &report["malformed"]), ((3, 2, 4, 4354), &2.into()));
}

#[test]
fn a_file_of_nothing_but_malformed_lines_is_reported_as_such() {
    let place = Place::new();
    place.write("orders.txt", "these are\nno orders\n");
    let output = place.run(&["--orders", "orders.txt", "--json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((totals(&report), &report["malformed"]), ((0, 0, 0, 0), &2.into()));
}

/// One line that says all of this, and the exit status.
fn fails(place: &Place, arguments: &[&str], status: i32, said: &[&str]) {
    let output = place.run(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    for said in said {
        assert!(error.contains(said), "{arguments:?}: no {said:?} in {error}");
    }
    if status == 1 {
        assert!(error.starts_with("shop: ") && error.trim_end().lines().count() == 1, "{arguments:?}: {error}");
    }
    assert!(!error.contains("panicked") && !error.contains("RUST_BACKTRACE"), "{arguments:?}: {error}");
}

#[test]
fn orders_that_cannot_be_read_are_named_with_the_cure() {
    let place = Place::new();
    place.write("empty.txt", "");
    place.write("header.txt", " customer_id  date number_of_cds  dollar_value\r\n");
    let whole = std::fs::read(sample()).unwrap();
    place.write("broken.gz", &whole[..whole.len() / 2]);
    let fails = |file: &str, said: &[&str]| fails(&place, &["--orders", file], 1, said);
    fails("missing.txt", &["missing.txt", "No such file", "--orders"]);
    fails("tmp", &["tmp", "is a directory", "name a file in it"]);
    fails("broken.gz", &["broken.gz", "not a whole gzip file", "copy it again"]);
    fails("empty.txt", &["empty.txt", "no orders", "customer, day, CDs and dollars"]);
    fails("header.txt", &["header.txt", "no orders"]);
    assert_eq!(place.files().0, ["broken.gz", "empty.txt", "header.txt"], "no store was made");
}

#[test]
fn a_store_that_cannot_be_opened_is_named_with_the_cure() {
    let place = Place::new();
    place.write("orders.txt", ORDERS);
    place.write("other.db", "this is no database, but somebody may need it");
    let fails = |url: &str, said: &[&str]| fails(&place, &["--orders", "orders.txt", "--store", url], 1, said);
    const FORMS: &str = "use memory://, sqlite://FILE or postgres://HOST/DATABASE";
    fails("shop.db", &["shop.db", FORMS]);
    fails("mysql://shop", &["mysql://shop", FORMS]);
    fails("mysql://shop:hunter2@db", &["mysql://***@db", FORMS]);
    fails("memory://shop", &["memory://shop", FORMS]);
    fails("sqlite://", &["sqlite://", "names no file", "sqlite://shop.db"]);
    fails("sqlite://tmp", &["tmp is a directory", "tmp/shop.db"]);
    fails("sqlite://missing/shop.db", &["missing", "there is no directory", "create it"]);
    fails("sqlite://other.db", &["other.db is not a SQLite database"]);
    let other = std::fs::read_to_string(place.path("other.db")).unwrap();
    assert_eq!(other, "this is no database, but somebody may need it");
}

#[test]
fn a_summary_that_cannot_be_written_is_said_before_the_import() {
    let place = Place::new();
    place.write("orders.txt", ORDERS);
    let fails = |csv: &str, said: &[&str]| {
        fails(&place, &["--orders", "orders.txt", "--cohort-cut", "1997-09-30", "--csv", csv], 1, said);
    };
    fails("missing/summary.csv", &["--csv missing/summary.csv", "no directory missing", "create it"]);
    fails("tmp", &["--csv tmp", "is a directory", "name a file in it"]);
    assert_eq!(place.files().0, ["orders.txt"], "nothing was imported");
}

#[test]
fn bad_options_are_said_with_the_usage() {
    let place = Place::new();
    fails(&place, &["--cohort-cut", "1997-09-30"], 2, &["--csv"]);
    fails(&place, &["--csv", "summary.csv"], 2, &["--cohort-cut"]);
    fails(&place, &["--cohort-cut", "1997-13-30", "--csv", "summary.csv"], 2, &["1997-13-30"]);
    fails(&place, &["--ordres", "orders.txt"], 2, &["--orders"]);
}

#[test]
fn a_store_in_memory_leaves_nothing_behind() {
    let place = Place::new();
    place.write("orders.txt", ORDERS);
    let report = place.report(&["--orders", "orders.txt", "--store", "memory://"]);
    assert_eq!(totals(&report), (2, 2, 3, 3177));
    assert_eq!(place.files(), (vec!["orders.txt".to_owned()], vec![]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_in_memory_leaves_nothing_behind_when_it_fails() {
    let place = Place::new();
    place.write("orders.txt", ORDERS);
    let full = ["--orders", "orders.txt", "--store", "memory://", "--cohort-cut", "1997-09-30", "--csv", "/dev/full"];
    fails(&place, &full, 1, &["--csv /dev/full", "No space left"]);
    assert_eq!(place.files(), (vec!["orders.txt".to_owned()], vec![]));
}

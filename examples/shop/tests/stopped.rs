//! Ctrl-C and SIGTERM end an import soon, and the next run finishes it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Place, SAMPLE, sample, text, totals, totals_of_the_log};
use sqlx::query_as;

const SOON: Duration = Duration::from_secs(10);

fn start(place: &Place, arguments: &[&str]) -> Child {
    let mut command = place.shop();
    command.args(["--orders", &sample()]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(shop: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &shop.id().to_string()]).status().unwrap().success());
}

/// How it ended after the signal, within the time.
fn end(shop: Child) -> Output {
    let start = Instant::now();
    let output = shop.wait_with_output().unwrap();
    assert!(start.elapsed() < SOON, "it took {:?} to end", start.elapsed());
    output
}

/// Waits until orders are coming in.
async fn under_way(place: &Place) {
    let deadline = Instant::now() + 3 * SOON;
    loop {
        assert!(Instant::now() < deadline, "no order came in");
        tokio::time::sleep(Duration::from_millis(20)).await;
        if !place.path("shop.db").exists() {
            continue;
        }
        let mut database = place.database().await;
        let count = query_as("SELECT count(*) FROM events").fetch_one(&mut database).await;
        if count.is_ok_and(|(count,): (i64,)| count > 500) {
            return;
        }
    }
}

async fn stopped_by(name: &str, status: i32) {
    let place = Place::new();
    let shop = start(&place, &["--json"]);
    under_way(&place).await;
    signal(&shop, name);
    let output = end(shop);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(text(&output.stderr).contains("run it again, and it goes on where it was"), "{output:?}");
    assert_eq!(totals(&place.report(&["--orders", &sample()])), SAMPLE);
    assert_eq!(totals_of_the_log(&mut place.database().await).await, SAMPLE);
}

#[tokio::test]
async fn ctrl_c_ends_it_soon_and_the_next_run_finishes() {
    stopped_by("-INT", 130).await;
}

#[tokio::test]
async fn sigterm_ends_it_soon_and_the_next_run_finishes() {
    stopped_by("-TERM", 143).await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    let shop = start(&place, &[]);
    under_way(&place).await;
    signal(&shop, "-INT");
    signal(&shop, "-INT");
    let output = end(shop);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
}

#[tokio::test]
async fn a_store_in_memory_leaves_nothing_behind_when_it_is_stopped() {
    let place = Place::new();
    let shop = start(&place, &["--store", "memory://"]);
    while place.files().1.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    signal(&shop, "-INT");
    let output = end(shop);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(text(&output.stderr).contains("what was in memory is gone"), "{output:?}");
    assert_eq!(place.files(), (vec![], vec![]));
}

//! What comes out is what went in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::time::{Duration, Instant};

use common::{Place, SAMPLE, data, sample, totals};

#[test]
fn the_summary_of_the_sample_is_the_published_one() {
    let place = Place::new();
    place.report(&["--orders", &sample(), "--cohort-cut", "1997-09-30", "--csv", "summary.csv"]);
    let lines = |file| std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let ours = lines(place.path("summary.csv"));
    let published = lines(data("cdnow-sample-summary-1997-09-30.csv").into());
    assert_eq!(published.len(), 2_358, "a header and 2,357 customers");
    for (ours, published) in ours.iter().zip(&published) {
        assert_eq!(ours, published);
    }
    assert_eq!(ours.len(), published.len());
}

#[test]
fn running_it_again_adds_nothing_and_is_quick() {
    let place = Place::new();
    let first = place.report(&["--orders", &sample()]);
    let start = Instant::now();
    let again = place.report(&["--orders", &sample()]);
    let took = start.elapsed();
    assert_eq!(totals(&again), SAMPLE);
    assert_eq!(first, again, "the head position and all else");
    assert!(took < Duration::from_secs(5), "finding that there is nothing to do took {took:?}");
}

#[test]
fn another_file_adds_to_the_same_store_and_is_reported_by_itself() {
    let place = Place::new();
    place.write("a.txt", "1 19970101 1 11.77\n1 19970101 1 11.77\n");
    place.write("b.txt", "1 19970102 2 20.00\n");
    assert_eq!(totals(&place.report(&["--orders", "a.txt"])), (2, 1, 2, 2354), "equal lines are separate orders");
    let report = place.report(&["--orders", "b.txt"]);
    assert_eq!(totals(&report), (1, 1, 2, 2000), "a customer of the same number in another file is another one");
    let shipped: i64 = report["stock"].as_array().unwrap().iter().map(|stock| stock["shipped"].as_i64().unwrap()).sum();
    assert_eq!(shipped, 4, "stock is the whole shop's");
}

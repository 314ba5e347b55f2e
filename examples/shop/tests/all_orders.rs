//! All 69,659 orders. The longest test, in a file of its own so that it starts first and the others run beside it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Place, WHOLE, totals, totals_of_the_log, totals_of_the_read_model};

#[tokio::test]
async fn the_whole_file_gives_the_known_totals_in_the_report_the_read_model_and_the_log() {
    let place = Place::new();
    let report = place.report(&[]);
    assert_eq!(report["revenue"], "2500315.63");
    assert_eq!(totals(&report), WHOLE);
    let mut database = place.database().await;
    assert_eq!(totals_of_the_read_model(&mut database).await, WHOLE);
    assert_eq!(totals_of_the_log(&mut database).await, WHOLE);
}

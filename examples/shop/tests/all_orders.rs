//! All 69,659 orders. The longest test, in a file of its own so that it starts first and the others run beside it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use common::{Place, WHOLE, balances, outcome, ruled, totals, totals_of_the_log, totals_of_the_read_model};
use serde_json::json;

#[tokio::test]
async fn the_whole_file_gives_the_known_totals_in_the_report_the_read_model_and_the_log() {
    let place = Place::new();
    let report = place.report(&[]);
    assert_eq!(report["revenue"], "2500315.63");
    assert_eq!(totals(&report), WHOLE);
    let mut database = place.database().await;
    assert_eq!(totals_of_the_read_model(&mut database).await, WHOLE);
    assert_eq!(totals_of_the_log(&mut database).await, WHOLE);
    balances(&report);
    for (by_the_rule, became, orders) in ruled(&mut database).await {
        assert_eq!((&became, orders), (&by_the_rule, outcome(&report, &by_the_rule)), "{orders} orders");
    }
    let outcomes = ["shipped", "shipped_late", "declined", "sold_out", "cancelled", "overdue"];
    assert_eq!(outcomes.map(|it| outcome(&report, it)), [66_156, 390, 1_280, 95, 867, 871]);
    assert_eq!(report["processes"], json!({"ended": 66_546, "compensated": 3_113, "waiting": 0, "stuck": 0}));
    assert_eq!(report["books"]["captured_minus_refunded"], "2348810.56");
    assert_eq!(report["books"]["shipped_cds"], 157_606);
}

//! Files that earlier versions of the shop wrote.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs::{self, File};
use std::io::copy;
use std::path::{Path, PathBuf};

use common::{Place, totals, totals_of_the_read_model};
use flate2::read::GzDecoder;
use serde_json::json;
use sqlx::query_as;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// What 39 orders come to, whichever version counts them.
const FORTY: common::Totals = (39, 9, 102, 132_251);

/// The versions in which `order.placed` and `payment.captured` are stored.
async fn versions(place: &Place) -> Vec<(String, i64, i64)> {
    query_as(
        "SELECT type, schema_version, count(*) FROM event_log WHERE type IN ('order.placed', 'payment.captured') \
         GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .fetch_all(&mut place.database().await)
    .await
    .unwrap()
}

async fn go_on(file: &str, stored: (i64, i64)) {
    let place = Place::new();
    copy(&mut GzDecoder::new(File::open(data(file)).unwrap()), &mut File::create(place.path("shop.db")).unwrap())
        .unwrap();
    let before = versions(&place).await;
    assert_eq!(before, [("order.placed".to_owned(), stored.0, 39), ("payment.captured".to_owned(), stored.1, 39)]);
    // It finds everything done, and reads it.
    let orders = data("forty-orders.txt").display().to_string();
    assert_eq!(totals(&place.report(&["--orders", &orders])), FORTY);
    // Read models are made anew, from the old events.
    let mut database = place.database().await;
    for statement in ["DROP TABLE orders", "DROP TABLE customers", "DELETE FROM checkpoints WHERE projection = 'sales'"]
    {
        sqlx::raw_sql(statement).execute(&mut database).await.unwrap();
    }
    drop(database);
    // More orders come beside them, in the versions of today.
    place.write("more.txt", fs::read_to_string(&orders).unwrap() + " 00010 19980601  1   10.00\n");
    let report = place.report(&["--orders", "more.txt"]);
    // Another file, another source: the report is about that one.
    assert_eq!(totals(&report), (40, 10, 103, 133_251));
    let (orders, customers, cds, total) = totals_of_the_read_model(&mut place.database().await).await;
    assert_eq!((orders, customers, cds, total), (79, 19, 205, 265_502), "both files, in the tables");
    // The order on line 20 has an invoice that is never paid.
    assert_eq!(versions(&place).await.iter().map(|(.., count)| count).sum::<i64>(), 2 * 79 - 1);
    assert_eq!(report["processes"], json!({"ended": 39, "compensated": 1, "waiting": 0, "stuck": 0}), "of this shop");
    let books = &report["books"];
    assert_eq!(books["captured_minus_refunded"], books["revenue_of_shipped"], "of both shops");
    assert_eq!(books["reserved_minus_released"], books["shipped_cds"], "of both shops");
}

#[tokio::test]
async fn what_the_first_version_wrote_is_read() {
    go_on("version-1.db.gz", (1, 1)).await;
}

#[tokio::test]
async fn what_the_second_version_wrote_is_read() {
    go_on("version-2.db.gz", (1, 2)).await;
}

//! The events in Postgres instead: the same shop.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::process::Stdio;

use common::{Place, Postgres, SAMPLE, balances, sample, totals};
use sqlx::Connection;

#[tokio::test]
async fn the_sample_comes_to_the_same_in_postgres_and_once() {
    let postgres = Postgres::create().await;
    let url = postgres.url.clone();

    let place = Place::new();
    let arguments = ["--store", &url, "--orders", &sample()];
    let mut report = place.report(&arguments);
    assert_eq!(totals(&report), SAMPLE);
    balances(&report);
    assert_eq!(place.report(&arguments), report, "the second run finds everything done");
    assert_eq!(place.files(), (vec![], vec![]), "no read model in a file");
    // All that is reported is the same as with SQLite, but for the position, since positions have gaps in Postgres.
    let mut in_sqlite = place.report(&["--orders", &sample()]);
    for report in [&mut report, &mut in_sqlite] {
        report.as_object_mut().unwrap().remove("position");
    }
    assert_eq!(report, in_sqlite);
    let mut shell = postgres.connect().await;
    let counted: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT payload ->> 'order'), sum((payload -> 'total' ->> 'cents')::bigint)::bigint \
         FROM recount.event_log WHERE type = 'order.placed'",
    )
    .fetch_one(&mut shell)
    .await
    .unwrap();
    assert_eq!(counted, (SAMPLE.0, SAMPLE.0, SAMPLE.3), "what plain SQL finds in the events");
    let total: i64 =
        sqlx::query_scalar("SELECT sum(total)::bigint FROM recount_shop.orders").fetch_one(&mut shell).await.unwrap();
    assert_eq!(total, SAMPLE.3, "what plain SQL finds in the read model");

    // Two at once on one store, and one in a schema of its own: none disturbs another.
    place.write("few.txt", "1 19970101 1 11.77\n2 19970131 3 11.77\n");
    let few = ["--json", "--orders", "few.txt", "--store"];
    let other = format!("{url}&schema=other");
    let runs = [&url, &url, &other].map(|url| {
        let mut shop = place.shop();
        shop.args(few).arg(url).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(totals(&serde_json::from_slice(&output.stdout).unwrap()), (2, 2, 4, 2354));
    }
    let tables = "SELECT count(*) FROM other_shop.orders";
    let orders: i64 = sqlx::query_scalar(tables).fetch_one(&mut shell).await.unwrap();
    assert_eq!(orders, 2);

    shell.close().await.unwrap();
    postgres.drop().await;
}

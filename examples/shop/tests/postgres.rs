//! The events in Postgres instead: the same shop.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod common;

use common::{Place, SAMPLE, sample, totals};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

#[tokio::test]
async fn the_sample_comes_to_the_same_in_postgres_and_once() {
    let server = std::env::var("RECOUNT_TEST_POSTGRES")
        .expect("RECOUNT_TEST_POSTGRES names no server: run `cargo xtask test`, which starts one");
    let name = format!("shop_{}_{:08x}", std::process::id(), fastrand::u32(..));
    let mut admin = PgConnection::connect(&server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    let (base, options) = server.split_once('?').unwrap_or((&server, ""));
    let url = format!("{}/{name}?{options}", base.rsplit_once('/').unwrap().0);

    let place = Place::new();
    let arguments = ["--store", &url, "--orders", &sample()];
    assert_eq!(totals(&place.report(&arguments)), SAMPLE);
    assert_eq!(totals(&place.report(&arguments)), SAMPLE, "the second run finds everything done");
    let mut shell = PgConnection::connect(&url).await.unwrap();
    let counted: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT payload ->> 'order'), sum((payload -> 'total' ->> 'cents')::bigint)::bigint \
         FROM recount.event_log WHERE type = 'order.placed'",
    )
    .fetch_one(&mut shell)
    .await
    .unwrap();
    assert_eq!(counted, (SAMPLE.0, SAMPLE.0, SAMPLE.3), "what plain SQL finds in the events");

    shell.close().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&mut admin).await.unwrap();
}

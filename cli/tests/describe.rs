//! `recount describe` as a user runs it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that panics has failed")]

mod common;

use common::out;

async fn describe(arguments: &[&str]) -> (Option<i32>, String, String) {
    out(&common::recount(&std::env::temp_dir(), &[&["describe"], arguments].concat()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_services_is_answered_with_no() {
    let (status, text, error) = describe(&["--broker", "inprocess://", "--wait", "1"]).await;
    assert_eq!((status, &*text), (Some(1), ""), "{error}");
    assert!(error.contains("no service has announced itself within 1 s"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_or_unknown_is_an_error_without_its_secrets() {
    for url in ["nats://ada:s3cret@127.0.0.1:1", "amqp://ada:s3cret@127.0.0.1:1/s3cret", "redis://ada:s3cret@host"] {
        let (status, text, error) = describe(&["--broker", url, "--wait", "1"]).await;
        assert_eq!((status, &*text), (Some(2), ""), "{error}");
        assert!(error.starts_with("recount: ") && !error.contains("s3cret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_without_an_end_is_refused() {
    for wait in ["0", "1000000"] {
        let (status, _, error) = describe(&["--broker", "inprocess://", "--wait", wait]).await;
        assert!(status == Some(2) && error.contains("1..=3600"), "{error}");
    }
}

//! The health endpoints: which status for which cause, and back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]
#![cfg(feature = "http")]

extern crate recount_core as recount;

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::get;
use recount_core::{Condition, Health, Recount, Store};
use recount_store_memory::MemoryStore;
use recount_store_sqlite::SqliteStore;
use recount_telemetry::{Exposure, ServeError, Server, health_router, serve};
use recount_testing::{Fault, FaultyStore, Operation};

async fn serving(store: impl Store) -> (Recount, Server) {
    let recount = Recount::new(store);
    let server = serve("127.0.0.1:0", health_router(&recount), Exposure::Loopback).await.unwrap();
    (recount, server)
}

/// The answer of the readiness endpoint, after the last one is no longer fresh.
async fn ready(address: SocketAddr) -> (u16, Health) {
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let (status, body) = get(address, "/health/ready").await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn is_live(address: SocketAddr) {
    assert_eq!(get(address, "/health/live").await, (200, r#"{"status":"ok","checks":[]}"#.to_owned()));
}

#[tokio::test]
async fn a_store_that_fails_makes_the_program_unready_until_it_recovers() {
    let store = FaultyStore::new(MemoryStore::new());
    let (_recount, server) = serving(store.clone()).await;
    let (status, health) = ready(server.address()).await;
    assert_eq!((status, health.status, health.checks.len()), (200, Condition::Ok, 1));
    let healthy_since = health.checks[0].since;
    for operation in [Operation::Health, Operation::Head] {
        store.fail_always(operation, Fault::Before);
        let (status, health) = ready(server.address()).await;
        assert_eq!((status, health.status), (503, Condition::Failing), "{operation:?}");
        let check = &health.checks[0];
        assert_eq!((&*check.name, check.status), ("store", Condition::Failing));
        assert!(check.since > healthy_since);
        assert!(!check.message.as_ref().unwrap().contains("injected"), "{check:?}");
        let (_, again) = ready(server.address()).await;
        assert_eq!(again.checks[0].since, check.since);
        is_live(server.address()).await;
        store.heal();
        let (status, health) = ready(server.address()).await;
        assert_eq!((status, health.status, health.checks[0].message.as_ref()), (200, Condition::Ok, None));
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for() {
    let store = FaultyStore::new(MemoryStore::new());
    let (_recount, server) = serving(store.clone()).await;
    store.fail_always(Operation::Health, Fault::Delay(Duration::from_secs(600)));
    let started = Instant::now();
    let answers = (0..8).map(|_| tokio::spawn(get(server.address(), "/health/ready")));
    for answer in answers.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap().0, 503);
    }
    is_live(server.address()).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(store.calls(Operation::Health), 1);
}

#[tokio::test]
async fn the_store_is_asked_once_a_second() {
    let store = FaultyStore::new(MemoryStore::new());
    let (_recount, server) = serving(store.clone()).await;
    for _ in 0..20 {
        assert_eq!(get(server.address(), "/health/ready").await.0, 200);
    }
    assert!(store.calls(Operation::Health) <= 2, "{}", store.calls(Operation::Health));
}

#[tokio::test]
async fn a_closed_store_is_not_ready() {
    let (recount, server) = serving(MemoryStore::new()).await;
    recount.close().await;
    let (status, health) = ready(server.address()).await;
    assert_eq!((status, health.checks[0].message.as_deref()), (503, Some("the store is closed")));
    is_live(server.address()).await;
}

#[tokio::test]
async fn messages_hold_no_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("geheim.db");
    let (recount, server) = serving(SqliteStore::open(&file).await.unwrap()).await;
    assert_eq!(ready(server.address()).await.0, 200);
    std::fs::rename(&file, directory.path().join("elsewhere.db")).unwrap();
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let (status, body) = get(server.address(), "/health/ready").await;
    assert_eq!(status, 503, "{body}");
    assert!(!body.contains("geheim") && !body.contains(directory.path().to_str().unwrap()), "{body}");
    let logged = format!("{:?}", recount.store().health().await);
    assert!(logged.contains("geheim"), "the store's own error names the file: {logged}");
}

#[tokio::test]
async fn only_loopback_addresses_are_served_unless_allowed() {
    let recount = Recount::new(MemoryStore::new());
    let routes = || health_router(&recount);
    for address in ["0.0.0.0:0", "[::]:0"] {
        let refused = serve(address, routes(), Exposure::Loopback).await.unwrap_err();
        assert!(matches!(refused, ServeError::NotLoopback { .. }), "{refused}");
    }
    let server = serve("0.0.0.0:0", routes(), Exposure::Network).await.unwrap();
    is_live(SocketAddr::from(([127, 0, 0, 1], server.address().port()))).await;
    let taken = server.address().to_string();
    let refused = serve(&taken, routes(), Exposure::Network).await.unwrap_err();
    assert!(refused.to_string().contains(&taken), "{refused}");
}

#[tokio::test]
async fn a_client_that_never_ends_its_request_does_not_hold_up_the_shutdown() {
    let (_recount, server) = serving(MemoryStore::new()).await;
    let mut connection = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut connection, b"GET /health/live HTTP/1.1\r\nHos").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    server.shutdown(Duration::from_millis(300)).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

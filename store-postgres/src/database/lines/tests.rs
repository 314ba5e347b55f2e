//! The end of a database: the task that opens a connection has an owner.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::database::*;

fn unconnected() -> Database {
    let pool = PgPoolOptions::new().acquire_timeout(Duration::from_secs(5));
    Database::new(pool.connect_lazy_with(PgConnectOptions::new().port(1)), Schema::new("recount").unwrap())
}

#[tokio::test]
async fn close_waits_for_the_task_that_opens_a_connection_and_lets_none_start_later() {
    let database = unconnected();
    let turn = Arc::clone(&database.resting.opening).acquire_owned().await.unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&ended);
    let task = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        ending.store(true, Ordering::SeqCst);
        drop(turn);
    });
    database.close().await;
    assert!(ended.load(Ordering::SeqCst), "the task outlives the store");
    task.await.unwrap();
    assert!(database.open().await.is_err());
}

/// The task keeps its turn until its end, also if its caller has gone.
#[tokio::test]
async fn a_connection_that_is_being_opened_has_the_turn() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let pool = PgPoolOptions::new().acquire_timeout(Duration::from_secs(2));
    let options = PgConnectOptions::new().host("127.0.0.1").port(port);
    let database = Database::new(pool.connect_lazy_with(options), Schema::new("recount").unwrap());
    assert!(timeout(Duration::from_millis(100), database.open()).await.is_err(), "nothing answers");
    assert_eq!(database.resting.opening.available_permits(), 0);
    let started = Instant::now();
    database.close().await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(database.resting.opening.is_closed());
}

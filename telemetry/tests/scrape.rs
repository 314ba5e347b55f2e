//! A scrape of the metrics address shows what commands, appends, loads and consumers did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]
#![cfg(all(feature = "http", feature = "prometheus"))]

extern crate recount_core as recount;

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::following::{Sums, follow, settled};
use common::process::run_process;
use common::*;
use futures_util::future::join_all;
use recount_core::{
    BoxError, Commands, Consumers, Event, EventStore, IdempotencyKey, METRICS, MetricKind, Position, Recount, Retry,
    Store,
};
use recount_messaging::{
    Binding, DeadLetters, Group, InProcess, Incoming, MessageHandler, Publication, RetryPlan, Service, Subscriber,
    Topic,
};
use recount_store_memory::MemoryStore;
use recount_store_sqlite::SqliteStore;
use recount_telemetry::{Exposure, Prometheus, Server, health_router, serve};
use recount_testing::{Fault, FaultyStore, Operation};

/// The metrics of commands, appends, projections and reactions, with their labels, as the design lists them.
const DESIGNED: &[(&str, &[&str])] = &[
    ("recount.command.duration", &["aggregate", "command", "outcome"]),
    ("recount.command.attempts", &["aggregate"]),
    ("recount.command.queue.wait", &["aggregate"]),
    ("recount.command.shared", &[]),
    ("recount.conflicts", &["aggregate"]),
    ("recount.aggregate.load.duration", &["aggregate", "source"]),
    ("recount.aggregate.replayed", &["aggregate"]),
    ("recount.aggregate.cache.hits", &["aggregate"]),
    ("recount.aggregate.cache.misses", &["aggregate"]),
    ("recount.aggregate.cache.entries", &["aggregate"]),
    ("recount.snapshot.writes", &["aggregate"]),
    ("recount.snapshot.failures", &["aggregate"]),
    ("recount.append.duration", &["store", "outcome", "error.type"]),
    ("recount.append.events", &["store"]),
    ("recount.events.appended", &["event_type"]),
    ("recount.append.queue", &["store"]),
    ("recount.append.queue.wait", &["store"]),
    ("recount.store.head", &["store"]),
    ("recount.store.writable", &["store"]),
    ("recount.store.safe_head.lag", &["store"]),
    ("recount.read.duration", &["store", "kind"]),
    ("recount.read.events", &["store", "kind"]),
    ("recount.store.pool.size", &["store", "pool"]),
    ("recount.store.pool.idle", &["store", "pool"]),
    ("recount.store.pool.wait", &["store", "pool"]),
    ("recount.projection.position", &["kind", "projection"]),
    ("recount.projection.lag.events", &["kind", "projection"]),
    ("recount.projection.lag.time", &["kind", "projection"]),
    ("recount.projection.events", &["kind", "projection"]),
    ("recount.projection.batch.duration", &["kind", "projection"]),
    ("recount.projection.batch.size", &["kind", "projection"]),
    ("recount.projection.failures", &["kind", "projection", "error.type"]),
    ("recount.projection.state", &["kind", "projection", "state"]),
    ("recount.projection.rebuild.progress", &["kind", "projection"]),
    ("recount.inbox.duplicates", &["handler"]),
    ("recount.request.replies.late", &["handler"]),
    ("recount.request.expired", &["handler"]),
    ("recount.deadletter.entries", &["handler"]),
    ("recount.deadletter.added", &["handler"]),
    ("recount.deadletter.redriven", &["handler"]),
    ("recount.circuit.state", &["target", "state"]),
    ("messaging.client.sent.messages", &["messaging.system", "messaging.destination.name"]),
    ("messaging.client.consumed.messages", &["messaging.system", "messaging.destination.name"]),
    (
        "messaging.client.operation.duration",
        &["messaging.system", "messaging.destination.name", "messaging.operation.name"],
    ),
    ("messaging.process.duration", &["messaging.system", "messaging.destination.name"]),
    ("recount.health", &["check"]),
    ("recount.build_info", &["version", "store"]),
];

/// The name of a till, which must not be shown.
const TILL: &str = "geheim";

async fn serving(recount: &Recount, prometheus: &Prometheus) -> Server {
    serve("127.0.0.1:0", health_router(recount).merge(prometheus.router(recount)), Exposure::Loopback).await.unwrap()
}

async fn scrape(address: SocketAddr) -> String {
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    text
}

/// The value of the sample of this name whose labels have all of these, in whatever order.
fn value(scrape: &str, name: &str, labels: &[&str]) -> f64 {
    let is_it = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|it| line.contains(it))
    };
    let line = scrape.lines().find(is_it).unwrap_or_else(|| panic!("{name} {labels:?} is not in\n{scrape}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// The name that Prometheus shows.
fn shown(metric: &recount_core::Metric) -> String {
    let unit = if metric.is_duration() { "_seconds" } else { "" };
    let kind = match metric.kind {
        MetricKind::Counter => "_total",
        MetricKind::Gauge => "",
        MetricKind::Histogram => "_count",
    };
    format!("{}{unit}{kind}", metric.name.replace('.', "_"))
}

async fn exercise<S: Store + Clone>(store: S) -> Recount {
    let store = FaultyStore::new(store);
    let recount = Recount::builder(store.clone()).retry(Retry { retries: 3, ..Retry::default() }).build();
    let key = || IdempotencyKey::new("once").unwrap();
    let _ = recount.dispatch(sell(TILL, 100)).idempotency_key(key()).await.unwrap();
    let _ = recount.dispatch(sell(TILL, 100)).idempotency_key(key()).await.unwrap();
    assert_eq!(recount.dispatch(sell(TILL, 0)).await.unwrap().events.len(), 0);
    recount.dispatch(sell(TILL, 2000)).await.unwrap_err();
    // Behind another process: a conflict, and a second attempt.
    let other = Recount::new(store.clone());
    let _ = other.dispatch(sell(TILL, 7)).await.unwrap();
    let _ = recount.dispatch(sell(TILL, 8)).await.unwrap();
    store.fail(Operation::Append, 1, Fault::Before);
    recount.dispatch(sell(TILL, 9)).await.unwrap_err();
    // One is being recorded, three wait and share an append.
    store.fail(Operation::Append, 1, Fault::Delay(Duration::from_millis(50)));
    let waiting = (0..4).map(|_| {
        let recount = recount.clone();
        tokio::spawn(async move { recount.dispatch(sell(TILL, 1)).await })
    });
    for waiting in waiting.collect::<Vec<_>>() {
        let _ = waiting.await.unwrap().unwrap();
    }
    // A new program begins with the snapshot.
    store.fail(Operation::Put, 1, Fault::Before);
    let later = Recount::new(store.clone());
    let _ = later.dispatch(sell(TILL, 1)).await.unwrap();
    for _ in 0..10 {
        let _ = later.dispatch(sell(TILL, 1)).await.unwrap();
    }
    let _ = recount.decide(Round).await.unwrap();
    for _ in 0..2 {
        let _ = recount.load::<Till>(&TILL.to_owned()).await.unwrap();
    }
    // More readers than there are connections.
    for head in join_all((0..16).map(|_| store.head())).await {
        assert!(head.unwrap() > Position::START);
    }
    recount
}

/// The metrics of commands, appends and loads.
fn commands_are_shown(text: &str, file: &str) {
    let command = |outcome: &str| {
        let outcome = format!("outcome=\"{outcome}\"");
        value(text, "recount_commands_total", &["aggregate=\"till\"", "command=\"sell\"", &outcome])
    };
    // First, other's, the one after the conflict, four together, eleven later.
    assert_eq!(command("accepted"), 18.0);
    assert_eq!(command("unchanged"), 1.0);
    assert_eq!(command("rejected"), 1.0);
    assert_eq!(command("repeated"), 1.0);
    assert_eq!(command("failed"), 1.0);
    assert_eq!(command("conflict"), 0.0);
    assert_eq!(value(text, "recount_commands_total", &["command=\"Round\"", "accepted"]), 1.0);
    assert_eq!(value(text, "recount_conflicts_total", &["aggregate=\"till\""]), 1.0);
    assert_eq!(value(text, "recount_command_attempts_sum", &["till"]), 2.0);
    assert_eq!(value(text, "recount_command_shared_sum", &[]), 3.0);
    assert_eq!(value(text, "recount_events_appended_total", &["event_type=\"till.sold\""]), 19.0);
    assert!(value(text, "recount_command_queue_wait_seconds_sum", &["till"]) > 0.1);
    assert_eq!(value(text, "recount_append_duration_seconds_count", &["failed", "error_type=\"unavailable\""]), 1.0);
    assert_eq!(value(text, "recount_append_duration_seconds_count", &["outcome=\"conflict\""]), 1.0);
    assert_eq!(value(text, "recount_snapshot_failures_total", &["till"]), 1.0);
    assert_eq!(value(text, "recount_store_head", &["store=\"sqlite\""]), 19.0);
    assert_eq!(value(text, "recount_store_writable", &["store=\"sqlite\""]), 1.0);
    assert!(value(text, "recount_store_pool_size", &["pool=\"readers\""]) >= 1.0);
    assert_eq!(value(text, "recount_aggregate_cache_entries", &["till"]), 1.0);
    for source in ["snapshot", "stream", "cache"] {
        let source = format!("source=\"{source}\"");
        let loads = value(text, "recount_aggregate_load_duration_seconds_count", &["till", &source]);
        assert!(loads >= 1.0, "{source}");
    }
    assert_eq!(value(text, "recount_append_queue", &["store=\"sqlite\""]), 0.0);
    assert!(value(text, "recount_append_queue_wait_seconds_count", &["store=\"sqlite\""]) >= 1.0);
    assert_eq!(value(text, "recount_store_safe_head_lag_seconds", &["store=\"sqlite\""]), 0.0);
    assert!(value(text, "recount_store_pool_wait_seconds_count", &["pool=\"readers\""]) >= 1.0);
    value(text, "recount_aggregate_load_duration_seconds_bucket", &["le=\"0.0005\""]);
    for secret in [TILL, "once", "injected", file] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

/// The value of a metric of the projection, or of the reaction.
fn of(text: &str, kind: &str, name: &str, labels: &[&str]) -> f64 {
    let kind = format!("kind=\"{kind}\"");
    value(text, &format!("recount_projection_{name}"), &[&[&*kind], labels].concat())
}

/// What consumers did, that they are behind while they fail, and that they gave up.
async fn consumers_are_shown(recount: &Recount, address: SocketAddr) {
    let sums = Arc::new(Sums::default());
    let following = follow(recount, &sums);
    settled(recount, &following).await;
    let head = recount.store().head().await.unwrap().get();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let text = scrape(address).await;
    for kind in ["projection", "reaction"] {
        assert_eq!(of(&text, kind, "position", &[]), head as f64);
        assert_eq!(of(&text, kind, "lag_events", &[]), 0.0);
        assert_eq!(of(&text, kind, "rebuild_progress", &[]), 1.0);
        assert_eq!(of(&text, kind, "lag_time_seconds", &[]), 0.0);
        assert_eq!(of(&text, kind, "events_total", &[]), head as f64, "{kind}: every event is one of a till");
        assert_eq!(of(&text, kind, "state", &["state=\"live\""]), 1.0);
        assert_eq!(of(&text, kind, "state", &["state=\"stopped\""]), 0.0);
        assert!(of(&text, kind, "batch_duration_seconds_count", &[]) >= 1.0);
        assert!(of(&text, kind, "batch_size_sum", &[]) >= 1.0);
    }
    sums.fails.store(true, Ordering::SeqCst);
    let _ = recount.dispatch(sell("tax-free", 1)).await.unwrap();
    while !following.progress().iter().any(recount_core::Progress::is_over) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let text = scrape(address).await;
    assert!(of(&text, "projection", "failures_total", &["error_type=\"event\""]) >= 2.0);
    assert_eq!(of(&text, "projection", "lag_events", &[]), 1.0);
    let age = of(&text, "projection", "lag_time_seconds", &[]);
    assert!((1.0..60.0).contains(&age), "{age}");
    assert_eq!(of(&text, "projection", "state", &["state=\"stopped\""]), 1.0);
    assert_eq!(of(&text, "projection", "state", &["state=\"live\""]), 0.0);
    assert_eq!(value(&text, "recount_health", &["check=\"projection:sums\""]), 0.0);
    assert_eq!(value(&text, "recount_health", &["check=\"reaction:taxes\""]), 1.0);
    assert!(!text.contains("geheim"), "{text}");
}

/// What a till tells other services.
#[derive(Event, Clone)]
#[event(name = "tills", published, unlocked)]
enum TillMessage {
    Sold { cents: u64 },
}

/// Takes messages, but none of 13 cents: it fails once for each order.
struct Bookkeeper;

impl MessageHandler for Bookkeeper {
    type Message = TillMessage;

    async fn handle(&self, TillMessage::Sold { cents }: &TillMessage, _: &Incoming<'_>) -> Result<Commands, BoxError> {
        if *cents == 13 { Err("no thirteen".into()) } else { Ok(Commands::none()) }
    }
}

/// Relays an event, handles it, and lets a dead letter be redriven in vain. One message is delivered twice.
async fn exchange_messages(recount: &Recount) -> Consumers {
    let (broker, topic) = (InProcess::new(), Topic::new("tills").unwrap());
    let publication = Publication::new("tills", topic.clone())
        .map(|TillEvent::Sold { cents, .. }: &TillEvent, _| Some(TillMessage::Sold { cents: *cents }));
    let binding = Binding::new(topic, Group::new("books").unwrap());
    let subscriber = Subscriber::new(binding).handle(Bookkeeper).unwrap().retry(RetryPlan::never());
    let service = Service::new(recount.clone(), Arc::new(broker.connect()), "tills").unwrap();
    let running = service.subscribe(subscriber).publish(publication).start();
    let _ = recount.dispatch(sell("messages", 13)).await.unwrap();
    let letters = DeadLetters::new(Arc::clone(recount.store()));
    while letters.list(None).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    broker.faults().cut_connections();
    letters.redrive_all(None, "").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    running
}

fn messages_are_shown(text: &str) {
    let topic = "messaging_destination_name=\"tills\"";
    assert!(value(text, "messaging_client_sent_messages_total", &[topic, "messaging_system=\"in_process\""]) >= 1.0);
    assert_eq!(value(text, "recount_deadletter_entries", &["handler=\"books/tills\""]), 1.0);
    assert_eq!(value(text, "recount_deadletter_added_total", &["handler=\"books/tills\""]), 2.0);
    assert_eq!(value(text, "recount_deadletter_redriven_total", &["handler=\"books/tills\""]), 1.0);
    assert_eq!(value(text, "recount_circuit_state", &["target=\"books/tills\"", "state=\"closed\""]), 1.0);
    assert_eq!(value(text, "recount_circuit_state", &["target=\"books/tills\"", "state=\"open\""]), 0.0);
}

/// Each metric of the design is recorded with its labels.
#[test]
fn every_designed_metric_exists() {
    for (name, labels) in DESIGNED {
        let metric = METRICS.iter().find(|metric| metric.name == *name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not recorded"));
        assert_eq!(metric.labels, *labels, "{name}");
    }
}

/// One test, since there is one recorder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_shows_every_metric() {
    let unrecorded = Recount::new(MemoryStore::new());
    let prometheus = Prometheus::install().unwrap();
    let _ = unrecorded.dispatch(sell("unrecorded", 1)).await.unwrap();
    assert_eq!(prometheus.render(), "");

    let directory = tempfile::tempdir().unwrap();
    let recount = exercise(SqliteStore::open(directory.path().join("tills.db")).await.unwrap()).await;
    // Before the consumers, which add to it.
    let server = serving(&recount, &prometheus).await;
    commands_are_shown(&scrape(server.address()).await, directory.path().to_str().unwrap());
    consumers_are_shown(&recount, server.address()).await;
    run_process(&Recount::new(MemoryStore::new())).await;
    let messages = exchange_messages(&recount).await;
    recount.health().await;
    let text = scrape(server.address()).await;
    messages_are_shown(&text);
    assert_eq!(value(&text, "recount_process_steps_total", &["process=\"buying\"", "trigger=\"timer\""]), 1.0);
    assert_eq!(value(&text, "recount_process_requests_total", &["command=\"sell\"", "outcome=\"undone\""]), 1.0);
    for metric in METRICS {
        let name = shown(metric);
        value(&text, &name, &[]);
        assert!(text.contains(&format!("# HELP {}", name.trim_end_matches("_count"))), "{name} is not described");
    }

    messages.shutdown().await;
    recount.close().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let text = scrape(server.address()).await;
    assert_eq!(value(&text, "recount_store_writable", &["store=\"sqlite\""]), 0.0);
    assert_eq!(value(&text, "recount_health", &["check=\"store\""]), 0.0);
    server.shutdown(Duration::from_secs(5)).await;
}

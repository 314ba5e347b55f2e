//! Traces as an OTLP receiver gets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]
#![cfg(all(feature = "http", feature = "otel"))]

extern crate recount_core as recount;

mod common;
mod receiver;

use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use common::following::{Sums, follow, settled};
use common::*;
use futures_util::StreamExt;
use receiver::{Received, Receiver};
use recount_core::{Metadata, Query, ReadAll, RecordedEvent, Recount, Store, TRACE_TARGET};
use recount_store_memory::MemoryStore;
use recount_telemetry::{OpenTelemetryContext, Otlp};
use recount_testing::{Fault, FaultyStore, Operation};
use tracing::Instrument;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

const REMOTE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn recount(store: impl Store) -> Recount {
    Recount::builder(store).trace_context(OpenTelemetryContext).build()
}

async fn recorded(recount: &Recount) -> Vec<RecordedEvent> {
    let events = recount.store().read_all(ReadAll::new(Query::all()));
    events.map(Result::unwrap).collect().await
}

/// Makes this the subscriber of the thread. A global one stands behind it: without one, a span that a thread without a
/// subscriber meets first is switched off for the whole program.
fn subscribed(subscriber: impl tracing::Subscriber + Send + Sync) -> tracing::subscriber::DefaultGuard {
    static BEHIND: Once = Once::new();
    BEHIND.call_once(|| tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap());
    tracing::subscriber::set_default(subscriber)
}

/// Runs the work with the export switched on, and returns what arrives.
async fn exported<F: Future>(work: F) -> Received {
    let receiver = Receiver::start().await;
    let (layer, guard) = Otlp::new(receiver.url(), "tills").version("1.2.3").start().unwrap();
    let subscriber = subscribed(tracing_subscriber::registry().with(layer));
    work.await;
    drop(subscriber);
    guard.shutdown(Duration::from_secs(5)).await.unwrap();
    receiver.received()
}

#[tokio::test]
async fn a_command_is_one_tree_and_its_event_carries_the_span() {
    let recount = recount(FaultyStore::new(MemoryStore::new()));
    let received = exported(async {
        let _ = recount.dispatch(sell("a", 1)).await.unwrap();
    })
    .await;
    let [dispatch, load, append] = received.named(["dispatch sell", "load till", "append memory"]);
    assert_eq!(received.spans.len(), 3);
    assert!(dispatch.is_root());
    assert!(load.is_child_of(dispatch) && append.is_child_of(dispatch));
    for (span, key, value) in [
        (dispatch, "recount.aggregate", "till"),
        (dispatch, "recount.command", "sell"),
        (dispatch, "recount.outcome", "accepted"),
        (dispatch, "recount.stream", "till/a"),
        (load, "recount.source", "stream"),
        (load, "recount.replayed", "0"),
        (append, "db.system.name", "memory"),
        (append, "db.operation.batch.size", "1"),
    ] {
        assert_eq!(span.attribute(key).as_deref(), Some(value), "{key}");
    }
    let event = &recorded(&recount).await[0];
    assert_eq!(event.data.metadata.traceparent.as_deref(), Some(&*dispatch.traceparent()));
    assert_eq!(received.resource("service.name"), "tills");
    assert_eq!(received.resource("service.version"), "1.2.3");
}

#[tokio::test]
async fn a_warm_aggregate_is_not_loaded() {
    let recount = recount(MemoryStore::new());
    let _ = recount.dispatch(sell("a", 1)).await.unwrap();
    let received = exported(async {
        let _ = recount.dispatch(sell("a", 2)).await.unwrap();
    })
    .await;
    received.named(["dispatch sell", "append memory"]);
    assert_eq!(received.spans.len(), 2);
}

#[tokio::test]
async fn the_span_of_the_caller_is_the_parent() {
    let recount = recount(MemoryStore::new());
    let received = exported(async {
        let request = tracing::info_span!("request");
        let command = async { recount.dispatch(sell("a", 1)).await };
        let _ = command.instrument(request).await.unwrap();
    })
    .await;
    let [request, dispatch] = received.named(["request", "dispatch sell"]);
    assert!(request.is_root() && dispatch.is_child_of(request));
}

#[tokio::test]
async fn an_incoming_traceparent_becomes_the_parent() {
    let recount = recount(MemoryStore::new());
    let metadata = || Metadata { traceparent: Some(REMOTE.into()), ..Metadata::default() };
    let received = exported(async {
        let _ = metadata().scope(async { recount.dispatch(sell("a", 1)).await }).await.unwrap();
        let _ = recount.decide(Round).metadata(metadata()).await.unwrap();
        let damaged = Metadata { traceparent: Some("00-damaged".into()), ..Metadata::default() };
        let _ = recount.dispatch(sell("b", 1)).metadata(damaged).await.unwrap();
    })
    .await;
    let [first, second] = received.all("dispatch sell")[..] else { panic!("{received:?}") };
    let [decide] = received.named(["decide Round"]);
    for span in [first, decide] {
        assert_eq!(span.parent_traceparent(), REMOTE);
    }
    assert!(second.is_root());
    let stored: Vec<_> = recorded(&recount).await.into_iter().map(|it| it.data.metadata.traceparent).collect();
    assert_eq!(stored, [first, decide, second].map(|span| Some(Arc::from(span.traceparent()))));
}

/// A request of this process that handles an event of another trace: the process' own span is the parent.
#[tokio::test]
async fn a_traceparent_beside_a_span_of_the_caller_is_linked() {
    let recount = recount(MemoryStore::new());
    let metadata = Metadata { traceparent: Some(REMOTE.into()), ..Metadata::default() };
    let received = exported(async {
        let request = tracing::info_span!("request");
        let command = async { recount.dispatch(sell("a", 1)).metadata(metadata).await };
        let _ = command.instrument(request).await.unwrap();
    })
    .await;
    let [request, dispatch] = received.named(["request", "dispatch sell"]);
    assert!(dispatch.is_child_of(request));
    assert_eq!(dispatch.links(), [REMOTE]);
}

#[tokio::test]
async fn commands_that_share_an_append_are_linked_to_it() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = recount(store.clone());
    let _ = recount.dispatch(sell("a", 1)).await.unwrap();
    let received = exported(async {
        store.fail(Operation::Append, 1, Fault::Delay(Duration::from_millis(50)));
        let tasks = (0..4).map(|_| {
            let recount = recount.clone();
            tokio::spawn(async move { recount.dispatch(sell("a", 1)).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            let _ = task.await.unwrap().unwrap();
        }
    })
    .await;
    let dispatches = received.all("dispatch sell");
    let shared = received.all("append memory").into_iter().find(|it| it.attribute("recount.shared").is_some()).unwrap();
    assert_eq!(shared.attribute("recount.shared").as_deref(), Some("3"));
    assert_eq!(shared.attribute("db.operation.batch.size").as_deref(), Some("3"));
    let mut links = shared.links();
    links.sort();
    let stored = recorded(&recount).await;
    let mut sharers: Vec<_> =
        stored[2..].iter().map(|it| it.data.metadata.traceparent.as_deref().unwrap().to_owned()).collect();
    sharers.sort();
    assert_eq!(links, sharers);
    assert!(dispatches.iter().any(|dispatch| shared.is_child_of(dispatch)));
    assert!(links.iter().all(|link| dispatches.iter().any(|dispatch| dispatch.traceparent() == *link)));
}

#[tokio::test]
async fn a_refusal_is_no_error_and_a_failure_is_one() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = recount(store.clone());
    let received = exported(async {
        recount.dispatch(sell("a", 5000)).await.unwrap_err();
        store.fail_always(Operation::Append, Fault::Before);
        recount.dispatch(sell("b", 1)).await.unwrap_err();
        store.heal();
        store.fail_always(Operation::ReadStream, Fault::Before);
        recount.dispatch(sell("c", 1)).await.unwrap_err();
    })
    .await;
    let [refused, unrecorded, unloaded] = received.all("dispatch sell")[..] else { panic!("{received:?}") };
    assert_eq!(refused.attribute("recount.outcome").as_deref(), Some("rejected"));
    let append = received.all("append memory")[0];
    let load = received.all("load till").into_iter().find(|load| load.is_child_of(unloaded)).unwrap();
    assert!(!refused.is_error());
    for failed in [unrecorded, append, unloaded, load] {
        assert!(failed.is_error(), "{failed:?}");
        assert_eq!(failed.attribute("error.type").as_deref(), Some("unavailable"));
    }
}

#[tokio::test]
async fn a_conflict_is_another_attempt_and_no_error() {
    let store = MemoryStore::new();
    let recount = recount(store.clone());
    let _ = recount.dispatch(sell("a", 1)).await.unwrap();
    let _ = Recount::new(store).dispatch(sell("a", 2)).await.unwrap();
    let received = exported(async {
        let _ = recount.dispatch(sell("a", 3)).await.unwrap();
    })
    .await;
    let [dispatch] = received.named(["dispatch sell"]);
    assert_eq!(dispatch.attribute("recount.attempts").as_deref(), Some("2"));
    let [refused, taken] = received.all("append memory")[..] else { panic!("{received:?}") };
    assert_eq!(refused.attribute("error.type").as_deref(), Some("conflict"));
    assert!(!dispatch.is_error() && !refused.is_error() && !taken.is_error());
}

#[tokio::test]
async fn a_decision_is_one_tree() {
    let recount = recount(MemoryStore::new());
    let _ = recount.dispatch(sell("a", 1)).await.unwrap();
    let received = exported(async {
        let _ = recount.decide(Round).await.unwrap();
    })
    .await;
    let [decide, load, append] = received.named(["decide Round", "load Round", "append memory"]);
    assert!(decide.is_root() && load.is_child_of(decide) && append.is_child_of(decide));
    assert_eq!(load.attribute("recount.replayed").as_deref(), Some("1"));
}

/// From the command through the reaction and its command; the projection is linked to it.
#[tokio::test]
async fn a_sale_and_what_follows_from_it_is_one_tree_with_linked_projections() {
    let recount = recount(MemoryStore::new());
    let sums = Arc::new(Sums::default());
    let received = exported(async {
        let following = follow(&recount, &sums);
        let request = tracing::info_span!("request");
        let command = async { recount.dispatch(sell("a", 1)).await };
        let _ = command.instrument(request).await.unwrap();
        settled(&recount, &following).await;
        following.shutdown().await;
    })
    .await;
    let [request] = received.named(["request"]);
    let [sale, tax] = received.all("dispatch sell")[..] else { panic!("{received:?}") };
    let reacts = received.all("react taxes");
    let [first, second] = reacts[..] else { panic!("{received:?}") };
    assert!(request.is_root() && sale.is_child_of(request));
    assert!(first.is_child_of(sale) && tax.is_child_of(first) && second.is_child_of(tax));
    assert!(received.all("append memory").iter().all(|append| append.is_child_of(sale) || append.is_child_of(tax)));
    for (span, position) in [(first, "1"), (second, "2")] {
        assert_eq!(span.attribute("recount.reaction").as_deref(), Some("taxes"));
        assert_eq!(span.attribute("recount.event_type").as_deref(), Some("till.sold"));
        assert_eq!(span.attribute("recount.position").as_deref(), Some(position));
        assert_eq!(span.attribute("recount.retries").as_deref(), Some("0"));
    }
    let projects = received.all("project sums");
    assert!(projects.iter().all(|project| project.is_root() && !project.is_error()));
    let mut links: Vec<_> = projects.iter().flat_map(|project| project.links()).collect();
    links.sort();
    let mut sources = vec![sale.traceparent(), tax.traceparent()];
    sources.sort();
    assert_eq!(links, sources);
    let events: u64 = projects.iter().map(|it| it.attribute("recount.events").unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(events, 2);
    assert_eq!(projects.last().unwrap().attribute("recount.position").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_batch_is_linked_to_each_trace_once_and_to_at_most_32() {
    let recount = recount(MemoryStore::new());
    let received = exported(async {
        let plain = Recount::new(Arc::clone(recount.store()));
        for number in 0..3 {
            let same = Metadata { traceparent: Some(REMOTE.into()), ..Metadata::default() };
            let _ = plain.dispatch(sell(&format!("tax-{number}"), 1)).metadata(same).await.unwrap();
        }
        for number in 0..40 {
            let _ = recount.dispatch(sell(&format!("tax-other-{number}"), 1)).await.unwrap();
        }
        let following = follow(&recount, &Arc::new(Sums::default()));
        settled(&recount, &following).await;
        following.shutdown().await;
    })
    .await;
    let project = received.all("project sums")[0];
    assert_eq!(project.attribute("recount.events").as_deref(), Some("43"));
    let links = project.links();
    assert_eq!((links.len(), links.iter().filter(|link| *link == REMOTE).count()), (32, 1));
}

#[tokio::test]
async fn a_batch_that_fails_is_an_error_and_counts_its_retries() {
    let recount = recount(MemoryStore::new());
    let sums = Arc::new(Sums::default());
    sums.fails.store(true, std::sync::atomic::Ordering::SeqCst);
    let received = exported(async {
        let _ = recount.dispatch(sell("tax-a", 1)).await.unwrap();
        let following = follow(&recount, &sums);
        let head = recount.store().head().await.unwrap();
        following.wait_for_one("sums", head).await.unwrap_err();
    })
    .await;
    let projects = received.all("project sums");
    assert!(projects.len() > 1 && projects.iter().all(|project| project.is_error()));
    assert_eq!(projects[0].attribute("recount.retries").as_deref(), Some("0"));
    assert_eq!(projects[1].attribute("recount.retries").as_deref(), Some("1"));
    assert_eq!(projects[1].attribute("error.type").as_deref(), Some("event"));
}

#[tokio::test]
async fn a_command_by_name_has_the_same_spans() {
    let recount = Recount::builder(MemoryStore::new()).register::<Till>().trace_context(OpenTelemetryContext).build();
    let received = exported(async {
        let _ = recount.dispatch_json("till", "sell", br#"{"till":"a","cents":1}"#).await.unwrap();
    })
    .await;
    received.named(["dispatch sell", "load till", "append memory"]);
}

#[tokio::test]
async fn without_a_trace_context_the_traceparent_is_carried_along() {
    let recount = Recount::new(MemoryStore::new());
    let metadata = Metadata { traceparent: Some(REMOTE.into()), ..Metadata::default() };
    let _ = recount.dispatch(sell("a", 1)).metadata(metadata.clone()).await.unwrap();
    let _ = recount.decide(Round).metadata(metadata).await.unwrap();
    let events = recorded(&recount).await;
    assert!(events.iter().all(|event| event.data.metadata.traceparent.as_deref() == Some(REMOTE)));
    let reaction = Metadata::caused_by(&events[0]);
    assert_eq!(reaction.traceparent.as_deref(), Some(REMOTE));
}

#[tokio::test]
async fn spans_that_are_switched_off_leave_the_traceparent_alone() {
    let receiver = Receiver::start().await;
    let (layer, guard) = Otlp::new(receiver.url(), "tills").start().unwrap();
    let filter = Targets::new().with_default(tracing::Level::INFO).with_target(TRACE_TARGET, None);
    let subscriber = subscribed(tracing_subscriber::registry().with(filter).with(layer));
    let recount = recount(MemoryStore::new());
    let metadata = Metadata { traceparent: Some(REMOTE.into()), ..Metadata::default() };
    let _ = recount.dispatch(sell("a", 1)).metadata(metadata).await.unwrap();
    drop(subscriber);
    guard.shutdown(Duration::from_secs(5)).await.unwrap();
    assert!(receiver.received().spans.is_empty());
    assert_eq!(recorded(&recount).await[0].data.metadata.traceparent.as_deref(), Some(REMOTE));
}

/// Nothing listens at one endpoint; the other takes connections and never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_down_holds_up_neither_the_program_nor_its_end() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for url in ["http://127.0.0.1:1".to_owned(), silent] {
        let (layer, guard) = Otlp::new(url, "tills").start().unwrap();
        let subscriber = subscribed(tracing_subscriber::registry().with(layer));
        let recount = recount(MemoryStore::new());
        let started = Instant::now();
        for number in 0..5000 {
            let _ = recount.dispatch(sell(&number.to_string(), 1)).await.unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        drop(subscriber);
        let ending = Instant::now();
        let _ = guard.shutdown(Duration::from_millis(500)).await;
        assert!(ending.elapsed() < Duration::from_secs(2), "{:?}", ending.elapsed());
    }
}

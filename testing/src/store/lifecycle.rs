//! Archive, erase, close, reopen.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use recount_core::ExpectedVersion::Any;
use recount_core::{
    AppendError, ExpectedRevision, Query, ReadAll, ReadStream, StateError, Store, StoreError, StreamId,
};
use tokio::runtime::Runtime;

use super::Harness;
use super::support::*;

/// Archiving and erasing again is harmless; archiving an erased stream, or closing one that never existed, is an error.
pub async fn closing_a_stream_again_is_harmless(h: &dyn Harness) {
    let store = h.open().await;
    let (to, unknown) = (stream("s"), stream("unknown"));
    fill(&*store, &to, 2).await;
    let is_unknown = |outcome| matches!(outcome, Err(StoreError::StreamNotFound { stream }) if stream == unknown);
    assert!(is_unknown(store.archive(&unknown).await));
    assert!(is_unknown(store.erase(&unknown).await));
    store.archive(&to).await.unwrap();
    store.archive(&to).await.unwrap();
    assert_eq!(read(&*store, &to).await.len(), 2);
    store.erase(&to).await.unwrap();
    store.erase(&to).await.unwrap();
    let archived = store.archive(&to).await;
    assert!(matches!(&archived, Err(StoreError::StreamErased { stream }) if *stream == to), "{archived:?}");
    append(&*store, &unknown, recount_core::ExpectedVersion::NoStream, events(1)).await.unwrap();
}

/// A stream that one instance closes is closed in the other.
pub async fn instances_agree_on_closed_streams(h: &dyn Harness) {
    let (one, other) = (h.open().await, h.open().await);
    let to = stream("s");
    fill(&*one, &to, 2).await;
    append(&*other, &to, exact(2), events(1)).await.unwrap();
    one.archive(&to).await.unwrap();
    violations(append(&*other, &to, exact(3), events(1)).await);
    other.erase(&to).await.unwrap();
    assert!(matches!(collect_stream(&*one, ReadStream::new(to.clone())).await, Err(StoreError::StreamErased { .. })));
    assert_eq!(everything(&*one).await, []);
}

/// An open read either gives an erased stream's event or doesn't; it never fails half way through the store.
pub async fn an_open_read_survives_an_erasure(h: &dyn Harness) {
    let store = h.open().await;
    for n in 0..3 {
        fill(&*store, &stream(&n.to_string()), 600).await;
    }
    let mut reading = store.read_all(ReadAll::new(Query::all()));
    reading.try_next().await.unwrap().unwrap();
    store.erase(&stream("1")).await.unwrap();
    let rest: Vec<_> = reading.try_collect().await.unwrap();
    let of = |id: &str| -> Vec<u64> {
        rest.iter().filter(|event| event.stream == stream(id)).map(|event| event.version.get()).collect()
    };
    assert_eq!(of("0"), (2..=600).collect::<Vec<_>>());
    assert_eq!(of("2"), (1..=600).collect::<Vec<_>>());
}

/// A closed store refuses everything with an error that says so; closing again is harmless.
pub async fn a_closed_store_says_so(h: &dyn Harness) {
    let store = h.open().await;
    let to = stream("s");
    fill(&*store, &to, 1).await;
    store.health().await.unwrap();
    store.close().await;
    store.close().await;
    let refused = append(&*store, &to, Any, events(1)).await;
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Closed))), "{refused:?}");
    let key = state_key("k");
    let refused = store.put(&key, "x".into(), ExpectedRevision::Any, None).await;
    assert!(matches!(refused, Err(StateError::Store(StoreError::Closed))), "{refused:?}");
    let refused = store.delete(&key, ExpectedRevision::Any).await;
    assert!(matches!(refused, Err(StateError::Store(StoreError::Closed))), "{refused:?}");
    let everything_else = [
        ("head", store.head().await.err()),
        ("health", store.health().await.err()),
        ("archive", store.archive(&to).await.err()),
        ("erase", store.erase(&to).await.err()),
        ("find append", store.find_append(&super::support::key("k")).await.err()),
        ("read stream", collect_stream(&*store, ReadStream::new(to.clone())).await.err()),
        ("read all", store.read_all(ReadAll::new(Query::all())).try_collect::<Vec<_>>().await.err()),
        ("get", store.get(&key).await.err()),
        ("now", store.now().await.err()),
        ("put many", store.put_many(Vec::new()).await.err().and_then(store_error)),
        ("delete many", store.delete_many(Vec::new()).await.err().and_then(store_error)),
        ("list", store.list(recount_core::Namespace::USER, "", None, 1).await.err()),
    ];
    for (operation, error) in everything_else {
        assert!(matches!(error, Some(StoreError::Closed)), "{operation}: {error:?}");
    }
}

fn store_error(error: StateError) -> Option<StoreError> {
    if let StateError::Store(error) = error { Some(error) } else { None }
}

/// Closing one instance leaves the others open.
pub async fn closing_one_instance_leaves_the_others_open(h: &dyn Harness) {
    if !h.has_instances() {
        return;
    }
    let (one, other) = (h.open().await, h.open().await);
    fill(&*one, &stream("s"), 2).await;
    one.close().await;
    append(&*other, &stream("s"), exact(2), events(1)).await.unwrap();
    assert_eq!(read(&*other, &stream("s")).await.len(), 3);
    other.health().await.unwrap();
    assert_eq!(read(&*h.open().await, &stream("s")).await.len(), 3);
}

/// Everything that was acknowledged is there after closing and opening the store, in the same place.
pub async fn what_was_acknowledged_survives_reopening(h: &dyn Harness) {
    if !h.is_durable() {
        return;
    }
    let store = h.open().await;
    for n in 0..5 {
        let tags = [format!("n:{n}"), "all".into()];
        let event = tagged("t", &tags.each_ref().map(String::as_str));
        add(&*store, &StreamId::new("kept", n.to_string()).unwrap(), event).await;
    }
    fill(&*store, &stream("archived"), 2).await;
    fill(&*store, &stream("erased"), 2).await;
    store.archive(&stream("archived")).await.unwrap();
    store.erase(&stream("erased")).await.unwrap();
    let (all, head) = (everything(&*store).await, store.head().await.unwrap());
    store.close().await;
    drop(store);
    let store = h.open().await;
    assert_eq!(everything(&*store).await, all);
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(select(&*store, Query::tags([tag("n:3"), tag("all")])).await, all[3..4]);
    violations(append(&*store, &stream("archived"), Any, events(1)).await);
    violations(append(&*store, &stream("erased"), Any, events(1)).await);
    let appended = append(&*store, &StreamId::new("kept", "0").unwrap(), exact(1), events(1)).await.unwrap();
    assert!(appended.position > head, "positions continue behind the head");
}

/// Closing finishes the appends under way: each append then was acknowledged and is there, or was refused and is not.
pub async fn closing_finishes_the_appends_under_way(h: &dyn Harness) {
    if !h.is_durable() {
        return;
    }
    for round in 0..scaled(h, 5) {
        let store = h.open().await;
        let before = everything(&*store).await.len();
        let closing = store.clone();
        let outcomes = tokio::spawn(race(32, move |task| {
            let store = store.clone();
            async move {
                let to = stream(&format!("{round}-{task}"));
                let mut acknowledged = 0;
                loop {
                    match append(&*store, &to, Any, events(3)).await {
                        Ok(_) => acknowledged += 3,
                        Err(AppendError::Store(StoreError::Closed)) => return (to, acknowledged),
                        Err(other) => panic!("expected success or closed, got {other:?}"),
                    }
                }
            }
        }));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        closing.close().await;
        drop(closing);
        let store = h.open().await;
        let mut sum = before;
        for (to, acknowledged) in outcomes.await.unwrap() {
            assert_eq!(read(&*store, &to).await.len(), acknowledged, "{to:?}");
            sum += acknowledged;
        }
        assert_eq!(everything(&*store).await.len(), sum);
        store.close().await;
    }
}

/// A caller of `close` that goes away, even before it could ask for anything, holds up no later one.
pub async fn a_close_that_was_given_up_is_done_by_the_next(h: &dyn Harness) {
    // More than fits into the queue of a store.
    let (store, count) = (h.open().await, 3000);
    let appending = store.clone();
    let outcomes = tokio::spawn(race(count, move |task| {
        let store = appending.clone();
        async move { append(&*store, &stream(&task.to_string()), Any, events(1)).await }
    }));
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(tokio::time::timeout(Duration::ZERO, store.close()).await);
    let closing = tokio::time::timeout(ANSWER, store.close());
    closing.await.expect("the second `close` waits for one that was given up");
    for outcome in outcomes.await.unwrap() {
        assert!(matches!(outcome, Ok(_) | Err(AppendError::Store(StoreError::Closed))), "{outcome:?}");
    }
    assert!(matches!(store.head().await, Err(StoreError::Closed)));
}

/// The time limit for an answer of a store after its runtime has ended.
const ANSWER: Duration = Duration::from_secs(30);

/// Opens the store in a runtime of its own.
fn open_elsewhere(h: &dyn Harness) -> (Arc<dyn Store>, Runtime) {
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            (runtime.block_on(h.open()), runtime)
        });
        opening.join().unwrap()
    })
}

/// Used from another runtime while its own is there but not driven, as a current-thread runtime after its `block_on`, the store answers, too.
pub async fn a_store_whose_runtime_is_not_driven_answers_in_time(h: &dyn Harness) {
    let (store, runtime) = std::thread::scope(|scope| {
        let opening = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            (runtime.block_on(h.open()), runtime)
        });
        opening.join().unwrap()
    });
    let key = recount_core::StateKey::new("k").unwrap();
    let appends = futures_util::future::join_all((0..4).map(|n| {
        let (store, to) = (&store, stream(&n.to_string()));
        async move { in_time("an append", async { of_append(append(&**store, &to, Any, events(1)).await) }).await }
    }));
    let (written, ..) = tokio::join!(
        appends,
        in_time("the head", store.head()),
        in_time("health", store.health()),
        in_time("the state", store.get(&key)),
    );
    tokio::time::timeout(ANSWER, store.close()).await.expect("closing hangs");
    assert!(matches!(store.head().await, Err(StoreError::Closed)));
    drop(store);
    end(runtime);
    if h.is_durable() {
        let there = everything(&*h.open().await).await.len();
        assert!(there >= written.into_iter().filter(|written| *written).count(), "an acknowledged append is lost");
    }
}

/// Ends the runtime with all tasks in it.
fn end(runtime: Runtime) {
    std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5))).join().unwrap();
}

/// Whether a call succeeds. Panics if it exceeds the time limit, or fails with an unexpected error.
async fn in_time<T>(what: &str, call: impl Future<Output = Result<T, StoreError>>) -> bool {
    match tokio::time::timeout(ANSWER, call).await.unwrap_or_else(|_| panic!("{what} hangs")) {
        Ok(_) => true,
        Err(StoreError::Closed | StoreError::Backend { .. } | StoreError::OutcomeUnknown { .. }) => false,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

fn of_append<T>(outcome: Result<T, AppendError>) -> Result<T, StoreError> {
    outcome.map_err(|error| match error {
        AppendError::Store(error) => error,
        error => panic!("{error:?}"),
    })
}

/// A store that is used after the runtime that opened it has ended answers each call in time, with success or an error.
pub async fn a_store_whose_runtime_ended_answers_in_time(h: &dyn Harness) {
    let (store, runtime) = open_elsewhere(h);
    fill(&*store, &stream("s"), 2).await;
    end(runtime);
    let appends = (0..4).map(|n| {
        let (store, to) = (&store, stream(&n.to_string()));
        async move { in_time("an append", async { of_append(append(&**store, &to, Any, events(1)).await) }).await }
    });
    let written = futures_util::future::join_all(appends).await.into_iter().filter(|written| *written).count();
    in_time("the head", store.head()).await;
    in_time("a read", collect_stream(&*store, ReadStream::new(stream("s")))).await;
    in_time("a fold", store.fold_stream(ReadStream::new(stream("s")), &mut |_| {})).await;
    in_time("health", store.health()).await;
    let key = recount_core::StateKey::new("k").unwrap();
    in_time("the state", store.get(&key)).await;
    in_time("archiving", store.archive(&stream("s"))).await;
    let mut watch = store.watch();
    let _ = tokio::time::timeout(Duration::from_millis(100), watch.changed()).await;
    tokio::time::timeout(ANSWER, store.close()).await.expect("closing hangs");
    drop(store);
    if h.is_durable() {
        let others = everything(&*h.open().await).await.into_iter().filter(|event| event.stream != stream("s"));
        assert_eq!(others.count(), written, "what is there is what was acknowledged");
    }
}

/// The same for appends that are in flight when the runtime ends.
pub async fn appends_in_flight_when_the_runtime_ends_are_answered_in_time(h: &dyn Harness) {
    let (store, runtime) = open_elsewhere(h);
    let appending: Vec<_> = (0..64)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let to = stream(&n.to_string());
                in_time("an append", async { of_append(append(&*store, &to, Any, events(1)).await) }).await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    end(runtime);
    let mut written = 0;
    for appending in appending {
        written += usize::from(appending.await.unwrap());
    }
    tokio::time::timeout(ANSWER, store.close()).await.expect("closing hangs");
    drop(store);
    if h.is_durable() {
        assert!(everything(&*h.open().await).await.len() >= written, "an acknowledged append is lost");
    }
}

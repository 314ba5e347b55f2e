//! Requests with keys of their own that share one append.

use recount_core::ExpectedVersion::{Any, Exact};
use recount_core::{
    Append, AppendError, Appended, Idempotency, InvalidAppend, KeyedSlice, Position, Store, StreamAppend,
    StreamAppended, StreamVersion,
};

use super::Harness;
use super::support::*;

fn slice(name: &str, stream: usize, events: std::ops::Range<usize>) -> KeyedSlice {
    KeyedSlice { idempotency: Idempotency::new(key(name), name.as_bytes()), stream, events }
}

fn part(name: &str, count: usize) -> StreamAppend {
    StreamAppend { stream: stream(name), expected: Any, events: events(count) }
}

fn shared(streams: Vec<StreamAppend>, slices: Vec<KeyedSlice>) -> Append {
    Append { streams, slices, ..Append::default() }
}

fn outcome(position: Position, name: &str, version: u64, count: u64) -> Option<Appended> {
    let streams = vec![StreamAppended { stream: stream(name), version: StreamVersion::new(version), count }];
    Some(Appended { position, streams, repeated: false })
}

/// The known keys in the error of an append.
async fn known(store: &dyn Store, append: Append) -> Vec<String> {
    match store.append(append).await {
        Err(AppendError::KeysKnown { keys }) => {
            let mut keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
            keys.sort();
            keys
        }
        other => panic!("{other:?}"),
    }
}

/// Each request of a shared append has its own outcome: the version after its events, and their number.
pub async fn each_request_of_a_shared_append_has_its_own_outcome(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 2).await;
    let slices = vec![
        slice("first", 0, 0..1),
        slice("second", 0, 1..3),
        slice("nothing", 0, 3..3),
        slice("third", 0, 3..4),
        slice("elsewhere", 1, 0..2),
    ];
    let appended = store.append(shared(vec![part("s", 5), part("t", 2)], slices.clone())).await.unwrap();
    let position = appended.position;
    assert_eq!(position, store.head().await.unwrap());
    assert!(!appended.repeated);
    let expected = [
        ("first", outcome(position, "s", 3, 1)),
        ("second", outcome(position, "s", 5, 2)),
        ("nothing", outcome(Position::START, "s", 5, 0)),
        ("third", outcome(position, "s", 6, 1)),
        ("elsewhere", outcome(position, "t", 2, 2)),
    ];
    for (name, outcome) in &expected {
        assert_eq!(find(&*store, &key(name)).await, *outcome, "{name}");
    }
    let found = store.find_append(&key("second")).await.unwrap().unwrap();
    assert_eq!(found.digest, slices[1].idempotency.digest);
    if h.is_durable() {
        store.close().await;
        let store = h.open().await;
        for (name, outcome) in &expected {
            assert_eq!(find(&*store, &key(name)).await, *outcome, "{name} after reopening");
        }
    }
}

/// If some of the requests were recorded before, nothing is written, and the error names exactly their keys.
pub async fn a_shared_append_with_a_known_key_writes_nothing(h: &dyn Harness) {
    let store = h.open().await;
    let alone =
        Append { idempotency: Some(Idempotency::new(key("alone"), b"x")), ..shared(vec![part("s", 1)], vec![]) };
    let first = store.append(alone).await.unwrap();
    let slices = vec![slice("a", 0, 0..1), slice("b", 0, 1..2)];
    store.append(shared(vec![part("s", 2)], slices)).await.unwrap();
    let head = store.head().await.unwrap();
    for (names, expected) in
        [(vec!["new", "a"], vec!["a"]), (vec!["b", "new", "a"], vec!["a", "b"]), (vec!["alone", "new"], vec!["alone"])]
    {
        let slices = names.iter().enumerate().map(|(at, name)| slice(name, 0, at..at + 1)).collect();
        assert_eq!(known(&*store, shared(vec![part("s", 3)], slices)).await, expected);
    }
    // Known keys are checked before the expected versions.
    let violated = StreamAppend { expected: Exact(StreamVersion::EMPTY), ..part("s", 1) };
    assert_eq!(known(&*store, shared(vec![violated.clone()], vec![slice("a", 0, 0..1)])).await, ["a"]);
    assert_eq!(store.head().await.unwrap(), head, "nothing was written");
    assert_eq!(find(&*store, &key("new")).await, None);
    assert_eq!(find(&*store, &key("alone")).await, Some(first));
    // A conflict leaves the keys of its append free.
    violations(store.append(shared(vec![violated], vec![slice("new", 0, 0..1)])).await);
    assert_eq!(find(&*store, &key("new")).await, None);
}

/// A request of a shared append can be repeated alone. With another content its key is refused.
pub async fn a_request_of_a_shared_append_is_repeated_alone(h: &dyn Harness) {
    let store = h.open().await;
    store.append(shared(vec![part("s", 2)], vec![slice("a", 0, 0..1), slice("b", 0, 1..2)])).await.unwrap();
    let alone = |content: &[u8]| Append {
        idempotency: Some(Idempotency::new(key("a"), content)),
        ..shared(vec![part("s", 1)], vec![])
    };
    let repeated = store.append(alone(b"a")).await.unwrap();
    assert!(repeated.repeated);
    assert_eq!((repeated.streams[0].version.get(), repeated.streams[0].count), (1, 1));
    let other = store.append(alone(b"other")).await;
    assert!(matches!(other, Err(AppendError::KeyReused { .. })), "{other:?}");
    assert_eq!(read(&*store, &stream("s")).await.len(), 2);
}

/// An outcome without events is recorded, also if its append shares a transaction with others.
pub async fn an_outcome_without_events_is_kept_beside_other_appends(h: &dyn Harness) {
    let store = h.open().await;
    let (tasks, rounds) = (16, 4);
    race(tasks, |task| {
        let store = store.clone();
        async move {
            for round in 0..rounds {
                let name = format!("{task}-{round}");
                let slices = vec![slice(&format!("nothing-{name}"), 0, 0..0), slice(&format!("event-{name}"), 0, 0..1)];
                let part = StreamAppend { expected: Exact(StreamVersion::EMPTY), ..part(&name, 1) };
                store.append(shared(vec![part], slices)).await.unwrap();
            }
        }
    })
    .await;
    for name in (0..tasks).flat_map(|task| (0..rounds).map(move |round| format!("{task}-{round}"))) {
        let nothing = find(&*store, &key(&format!("nothing-{name}"))).await;
        assert_eq!(nothing, outcome(Position::START, &name, 0, 0), "{name}");
        let event = find(&*store, &key(&format!("event-{name}"))).await.unwrap();
        assert_eq!((event.streams[0].version.get(), event.streams[0].count), (1, 1), "{name}");
    }
}

/// Slices with an invalid stream or event index, or with a repeated key, are refused.
pub async fn slices_with_invalid_indexes_or_repeated_keys_are_refused(h: &dyn Harness) {
    let store = h.open().await;
    let backwards = KeyedSlice { events: std::ops::Range { start: 1, end: 0 }, ..slice("a", 0, 0..1) };
    for slices in [vec![slice("a", 1, 0..1)], vec![slice("a", 0, 0..3)], vec![backwards]] {
        let refused = store.append(shared(vec![part("s", 2)], slices)).await;
        assert!(matches!(refused, Err(AppendError::Invalid(InvalidAppend::SliceOutside(_)))), "{refused:?}");
    }
    let twice = vec![slice("a", 0, 0..1), slice("a", 0, 1..2)];
    let refused = store.append(shared(vec![part("s", 2)], twice.clone())).await;
    assert!(matches!(refused, Err(AppendError::Invalid(InvalidAppend::KeyTwice(_)))), "{refused:?}");
    let with_own = Append {
        idempotency: Some(twice[0].idempotency.clone()),
        ..shared(vec![part("s", 2)], vec![slice("a", 0, 0..1)])
    };
    let refused = store.append(with_own).await;
    assert!(matches!(refused, Err(AppendError::Invalid(InvalidAppend::KeyTwice(_)))), "{refused:?}");
    assert_eq!(everything(&*store).await.len(), 0);
}

/// If shared appends race for overlapping keys, each key takes effect once, and its outcome names its own events.
pub async fn racing_shared_appends_record_each_request_once(h: &dyn Harness) {
    let instances = [h.open().await, h.open().await];
    let (rounds, requests) = (scaled(h, 12), 6);
    for round in 0..rounds {
        let name = move |request: usize| format!("{round}-{request}");
        let to = format!("racing-{round}");
        race(8, |task| {
            let (store, to) = (instances[task % 2].clone(), to.clone());
            let mut wanted: Vec<usize> = (0..requests).collect();
            random().shuffle(&mut wanted);
            async move {
                while !wanted.is_empty() {
                    let group: Vec<usize> = wanted.iter().take(1 + task % 3).copied().collect();
                    let mut events = Vec::new();
                    let slices = group.iter().map(|request| {
                        let start = events.len();
                        events.extend((0..=*request % 3).map(|_| typed(&format!("r{request}"))));
                        slice(&name(*request), 0, start..events.len())
                    });
                    let slices = slices.collect();
                    let streams = vec![StreamAppend { stream: stream(&to), expected: Any, events }];
                    match store.append(shared(streams, slices)).await {
                        Ok(_) => wanted.retain(|request| !group.contains(request)),
                        Err(AppendError::KeysKnown { keys }) => {
                            wanted.retain(|request| !keys.contains(&key(&name(*request))));
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        })
        .await;
        let recorded = read(&*instances[0], &stream(&to)).await;
        assert_eq!(recorded.len(), (0..requests).map(|request| 1 + request % 3).sum::<usize>(), "round {round}");
        for request in 0..requests {
            let outcome = find(&*instances[1], &key(&name(request))).await.unwrap();
            let StreamAppended { version, count, .. } = outcome.streams[0];
            let end = usize::try_from(version.get()).unwrap();
            let own = &recorded[end - usize::try_from(count).unwrap()..end];
            assert_eq!(own.len(), 1 + request % 3, "round {round}, request {request}");
            assert!(own.iter().all(|event| event.data.event_type.as_str() == format!("r{request}")), "round {round}");
            assert!(outcome.position >= own[own.len() - 1].position, "round {round}");
        }
    }
}

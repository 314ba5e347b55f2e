//! Appending to streams: every expectation has its outcome, and nothing is written by halves.

use recount_core::ExpectedVersion::{Any, NoStream, StreamExists};
use recount_core::{
    Append, AppendError, CONFLICT_EVENTS, EventData, ExpectedVersion, InvalidAppend, MAX_EVENTS, Metadata,
    StreamAppend, StreamAppended, StreamVersion, Timestamp, Violation,
};

use super::Harness;
use super::support::*;

/// Any, no stream and exactly version 0 go through; stream exists and any other exact version conflict.
pub async fn each_expectation_has_its_outcome_on_a_missing_stream(h: &dyn Harness) {
    let store = h.open().await;
    for (name, expected) in [("any", Any), ("none", NoStream), ("exact", exact(0))] {
        let appended = append(&*store, &stream(name), expected, events(2)).await.unwrap();
        assert_eq!(appended.streams[0].version, StreamVersion::new(2), "{expected:?}");
        assert_eq!(versions(&read(&*store, &stream(name)).await), [1, 2], "{expected:?}");
    }
    for expected in [StreamExists, exact(1), exact(7), exact(u64::MAX)] {
        let missing = stream("missing");
        let conflict = violations(append(&*store, &missing, expected, events(1)).await);
        let actual = StreamVersion::EMPTY;
        assert_eq!(conflict, [Violation::Version { stream: missing, expected, actual, newer: vec![] }]);
    }
    assert_eq!(everything(&*store).await.len(), 6);
}

/// Any, stream exists and the exact version go through; no stream and any other exact version conflict.
pub async fn each_expectation_has_its_outcome_on_an_existing_stream(h: &dyn Harness) {
    let store = h.open().await;
    let to = stream("s");
    let first = fill(&*store, &to, 3).await;
    for expected in [NoStream, exact(0), exact(1), exact(2), exact(4), exact(u64::MAX)] {
        let conflict = violations(append(&*store, &to, expected, events(1)).await);
        let newer = match expected {
            ExpectedVersion::Exact(behind) => first.iter().filter(|e| e.version > behind).cloned().collect(),
            _ => vec![],
        };
        let actual = StreamVersion::new(3);
        assert_eq!(conflict, [Violation::Version { stream: to.clone(), expected, actual, newer }]);
    }
    for (expected, version) in [(Any, 4), (StreamExists, 5), (exact(5), 6)] {
        let appended = append(&*store, &to, expected, events(1)).await.unwrap();
        assert_eq!(appended.streams[0].version, StreamVersion::new(version), "{expected:?}");
    }
    assert_eq!(versions(&read(&*store, &to).await), [1, 2, 3, 4, 5, 6]);
}

/// An archived or erased stream refuses an append with any expectation, and the conflict can't be retried.
pub async fn a_closed_stream_refuses_every_expectation(h: &dyn Harness) {
    let store = h.open().await;
    let (archived, erased) = (stream("archived"), stream("erased"));
    fill(&*store, &archived, 2).await;
    fill(&*store, &erased, 2).await;
    store.archive(&archived).await.unwrap();
    store.erase(&erased).await.unwrap();
    for expected in [Any, NoStream, StreamExists, exact(0), exact(1), exact(2), exact(3)] {
        let conflict = violations(append(&*store, &archived, expected, events(1)).await);
        assert_eq!(conflict, [Violation::Archived { stream: archived.clone() }], "{expected:?}");
        let conflict = violations(append(&*store, &erased, expected, events(1)).await);
        assert_eq!(conflict, [Violation::Erased { stream: erased.clone() }], "{expected:?}");
    }
    assert_eq!(versions(&read(&*store, &archived).await), [1, 2]);
}

/// The outcome tells the last position, and version and count of each stream in the order of the request.
pub async fn the_outcome_tells_what_was_written(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("a"), 2).await;
    let appended = store.append(to_streams(&[("b", Any, 3), ("a", Any, 1)])).await.unwrap();
    let outcome =
        |id: &str, version, count| StreamAppended { stream: stream(id), version: StreamVersion::new(version), count };
    assert_eq!(appended.streams, [outcome("b", 3, 3), outcome("a", 3, 1)]);
    assert!(!appended.repeated);
    assert_eq!(appended.position, everything(&*store).await.last().unwrap().position);
    assert_eq!(appended.position, store.head().await.unwrap());
}

/// Positions follow the order of the request, through all its streams.
pub async fn positions_follow_the_order_of_the_request(h: &dyn Harness) {
    let store = h.open().await;
    let request = to_streams(&[("z", Any, 2), ("a", Any, 2), ("m", Any, 1)]);
    let written: Vec<EventData> = request.streams.iter().flat_map(|append| append.events.clone()).collect();
    store.append(request).await.unwrap();
    let found = everything(&*store).await;
    assert_eq!(data(&found), written);
    assert_eq!(versions(&found), [1, 2, 1, 2, 1]);
    assert!(found[0].position.get() >= 1);
    assert!(positions(&found).is_sorted_by(|a, b| a < b), "{:?}", positions(&found));
}

/// If one stream of several is not as expected nothing is written, and every violation is reported.
pub async fn several_streams_are_all_written_or_none(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("a"), 1).await;
    fill(&*store, &stream("c"), 1).await;
    store.archive(&stream("c")).await.unwrap();
    let request = to_streams(&[("a", NoStream, 1), ("b", Any, 1), ("c", Any, 1), ("d", StreamExists, 1)]);
    let conflict = violations(store.append(request).await);
    let version = |id: &str, expected, actual| Violation::Version {
        stream: stream(id),
        expected,
        actual: StreamVersion::new(actual),
        newer: vec![],
    };
    assert_eq!(conflict.len(), 3, "{conflict:?}");
    assert!(conflict.contains(&version("a", NoStream, 1)));
    assert!(conflict.contains(&Violation::Archived { stream: stream("c") }));
    assert!(conflict.contains(&version("d", StreamExists, 0)));
    assert_eq!(everything(&*store).await.len(), 2);
    assert_eq!(read(&*store, &stream("b")).await, []);
}

/// A conflict carries the events behind the expected version, gapless and oldest first, up to the limit.
pub async fn a_conflict_carries_what_the_writer_has_not_seen(h: &dyn Harness) {
    let store = h.open().await;
    let to = stream("s");
    let all = fill(&*store, &to, CONFLICT_EVENTS + 20).await;
    for (expected, carried) in [(10, &all[10..10 + CONFLICT_EVENTS]), (CONFLICT_EVENTS, &all[CONFLICT_EVENTS..])] {
        let conflict = violations(append(&*store, &to, exact(expected as u64), events(1)).await);
        let [Violation::Version { newer, actual, .. }] = &conflict[..] else { panic!("{conflict:?}") };
        assert_eq!(actual.get(), all.len() as u64);
        assert_eq!(newer, carried);
    }
}

/// A conflict costs nothing: the next append continues where the last one ended.
pub async fn a_conflict_writes_nothing(h: &dyn Harness) {
    let store = h.open().await;
    let to = stream("s");
    fill(&*store, &to, 1).await;
    let head = store.head().await.unwrap();
    for _ in 0..5 {
        violations(append(&*store, &to, NoStream, events(3)).await);
    }
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(append(&*store, &to, exact(1), events(1)).await.unwrap().streams[0].version, StreamVersion::new(2));
}

/// A malformed request is refused, alike on all stores, and nothing is written.
pub async fn a_wrong_request_is_refused(h: &dyn Harness) {
    let store = h.open().await;
    let one = event();
    let refused = [
        Append::default(),
        Append::to(stream("s"), Any, vec![]),
        to_streams(&[("s", Any, 1), ("t", Any, 0)]),
        to_streams(&[("s", Any, 1), ("t", Any, 1), ("s", Any, 1)]),
        Append::to(stream("s"), Any, vec![one.clone(), one.clone()]),
        Append::to(stream("s"), Any, vec![EventData { schema_version: 0, ..event() }]),
        Append::to(stream("s"), Any, vec![one; MAX_EVENTS + 1]),
    ];
    for request in refused {
        let expected: InvalidAppend = request.validate().unwrap_err();
        let outcome = store.append(request).await;
        assert!(matches!(&outcome, Err(AppendError::Invalid(found)) if *found == expected), "{outcome:?}");
    }
    assert_eq!(everything(&*store).await, []);
}

/// A thousand events are appended in one call.
pub async fn a_thousand_events_are_one_append(h: &dyn Harness) {
    let store = h.open().await;
    let written = events(1000);
    append(&*store, &stream("s"), NoStream, written.clone()).await.unwrap();
    let found = read(&*store, &stream("s")).await;
    assert_eq!(data(&found), written);
    assert_eq!(versions(&found), (1..=1000).collect::<Vec<_>>());
}

/// A store refuses an event id that it holds, wherever that is, and writes nothing of the request.
pub async fn an_event_id_is_recorded_once(h: &dyn Harness) {
    let store = h.open().await;
    let first = event();
    add(&*store, &stream("a"), first.clone()).await;
    for to in ["a", "b"] {
        let outcome = append(&*store, &stream(to), Any, vec![event(), first.clone()]).await;
        assert!(matches!(outcome, Err(AppendError::DuplicateEvent { id }) if id == first.id), "{outcome:?}");
    }
    // A conflict says more about a repeated request, so it comes first.
    violations(append(&*store, &stream("a"), NoStream, vec![first]).await);
    assert_eq!(everything(&*store).await.len(), 1);
}

/// An appended event comes back: every part of it.
pub async fn an_event_comes_back_as_it_was_appended(h: &dyn Harness) {
    let store = h.open().await;
    let metadata = Metadata {
        correlation_id: Some("c \"quoted\" ü".into()),
        causation_id: Some("".into()),
        actor: Some("ada@example.com".into()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        headers: [("k".into(), "v\n\u{1f980}".into()), (String::new(), String::new())].into(),
    };
    let full = EventData { schema_version: u32::MAX, metadata, ..tagged("full", &["b", "a", "b"]) };
    let plain = typed("plain");
    let before = Timestamp::now();
    append(&*store, &stream("s"), Any, vec![full.clone(), plain.clone()]).await.unwrap();
    let found = read(&*store, &stream("s")).await;
    assert_eq!(data(&found), [full, plain]);
    for event in found {
        assert_eq!(event.stream, stream("s"));
        assert_eq!(event.recorded_at.as_nanosecond() % 1000, 0, "stores keep microseconds");
        let age = event.recorded_at.duration_since(before).as_secs_f64();
        assert!(age.abs() < 60.0, "recorded {age} seconds after it was appended");
    }
}

fn to_streams(streams: &[(&str, ExpectedVersion, usize)]) -> Append {
    let streams = streams.iter().map(|(id, expected, count)| StreamAppend {
        stream: stream(id),
        expected: *expected,
        events: events(*count),
    });
    Append { streams: streams.collect(), ..Append::default() }
}

//! Queries and append conditions: dynamic consistency boundaries.

use recount_core::ExpectedVersion::{Any, NoStream};
use recount_core::{
    Append, AppendError, Appended, Direction, EventData, Position, Query, QueryItem, ReadAll, Store, StreamId,
    StreamVersion, Violation,
};

use super::Harness;
use super::support::*;

/// A query is the OR of its items; an item is one of its types AND all of its tags AND its category.
pub async fn a_query_selects_what_its_items_select(h: &dyn Harness) {
    let store = h.open().await;
    let mut random = random();
    for batch in 0..20 {
        let streams = (0..5).map(|n| StreamId::new(["cat", "cats", "c"][n % 3], format!("{batch}-{n}")).unwrap());
        for to in streams {
            let events = (0..random.usize(1..5)).map(|_| random_event(&mut random)).collect();
            append(&*store, &to, Any, events).await.unwrap();
        }
    }
    let all = everything(&*store).await;
    for _ in 0..100 {
        let query = random_query(&mut random);
        let mut expected: Vec<_> = all.iter().filter(|event| query.matches(event)).cloned().collect();
        assert_eq!(select(&*store, query.clone()).await, expected, "{query:?}");
        expected.reverse();
        expected.truncate(5);
        let last = ReadAll { direction: Direction::Backward, limit: Some(5), ..ReadAll::new(query.clone()) };
        assert_eq!(collect_all(&*store, last).await, expected, "backward: {query:?}");
    }
}

/// An event that several items select, or that carries a tag twice, is read once; a query without items selects nothing.
pub async fn an_event_is_selected_once(h: &dyn Harness) {
    let store = h.open().await;
    add(&*store, &stream("s"), tagged("t", &["a", "b", "a"])).await;
    add(&*store, &stream("s"), tagged("u", &["a"])).await;
    let query =
        Query::item(item(&["t"], &[])).or(item(&["t", "u"], &["a"])).or(item(&[], &["a", "b"])).or(item(&["t"], &[]));
    assert_eq!(select(&*store, query).await.len(), 2);
    assert_eq!(select(&*store, Query::item(item(&[], &["a", "a"]))).await.len(), 2);
    assert_eq!(select(&*store, Query::item(item(&["t", "t"], &[]))).await.len(), 1);
    assert_eq!(select(&*store, Query::default()).await, []);
    assert_eq!(select(&*store, Query::all().or(item(&["t"], &[]))).await.len(), 2);
}

/// A condition fails if a selected event was recorded behind its position, and names the last such event.
pub async fn a_condition_fails_on_what_was_recorded_behind_its_position(h: &dyn Harness) {
    let store = h.open().await;
    let query = Query::item(item(&["t"], &["a"]));
    let before = add(&*store, &stream("s"), tagged("t", &["a"])).await.position;
    let last = add(&*store, &stream("s"), tagged("t", &["b", "a"])).await.position;
    add(&*store, &stream("s"), tagged("t", &["b"])).await;
    add(&*store, &stream("s"), tagged("u", &["a"])).await;
    for after in [Position::START, before] {
        let outcome = conditional(&*store, unless(query.clone(), after)).await;
        assert_eq!(violations(outcome), [Violation::Condition { position: last }], "after {after}");
    }
    conditional(&*store, unless(query.clone(), last)).await.unwrap();
    let head = store.head().await.unwrap();
    conditional(&*store, unless(query, head)).await.unwrap();
}

/// Only events that all parts of one item select count.
pub async fn a_condition_ignores_what_its_query_does_not_select(h: &dyn Harness) {
    let store = h.open().await;
    add(&*store, &stream("s"), tagged("t", &["a"])).await;
    add(&*store, &StreamId::new("tests", "s").unwrap(), tagged("u", &["b"])).await;
    let category = |name: &str| QueryItem { category: Some(name.into()), ..item(&[], &["b"]) };
    for passes in [
        Query::default(),
        Query::item(item(&["v"], &[])),
        Query::item(item(&["t"], &["a", "b"])),
        Query::item(item(&["t"], &["b"])).or(item(&["u"], &["a"])),
        Query::item(item(&["T"], &[])).or(item(&[], &["A"])).or(item(&[], &["a "])),
        Query::item(category("test")),
    ] {
        let condition = unless(passes.clone(), Position::START);
        assert!(won(&conditional(&*store, condition).await), "{passes:?}");
    }
    for fails in [
        Query::all(),
        Query::item(item(&["v", "t"], &[])),
        Query::item(item(&["v"], &[])).or(item(&[], &["b"])),
        Query::item(category("tests")),
        Query::category("tests"),
    ] {
        let condition = unless(fails.clone(), Position::START);
        assert!(!won(&conditional(&*store, condition).await), "{fails:?}");
    }
}

/// A type selects all of its schema versions, also one that another instance was the first to write.
pub async fn a_type_is_all_of_its_schema_versions(h: &dyn Harness) {
    let instances = instances(h).await;
    let query = Query::item(item(&["t"], &[]));
    let mut last = Position::START;
    for (n, schema_version) in [1, 7, 2, 7, 1].into_iter().enumerate() {
        let (writer, reader) = (&*instances[n % 2], &*instances[(n + 1) % 2]);
        let event = EventData { schema_version, ..tagged("t", &["a"]) };
        let condition = unless(query.clone(), last);
        last = writer.append(Append::to(stream("s"), Any, vec![event]).condition(condition)).await.unwrap().position;
        let found = select(reader, query.clone()).await;
        let versions: Vec<u32> = found.iter().map(|event| event.data.schema_version).collect();
        assert_eq!(versions, [1, 7, 2, 7, 1][..=n]);
    }
    for item in [item(&["t"], &[]), item(&["t"], &["a"])] {
        let outcome = conditional(&*instances[0], unless(Query::item(item), Position::START)).await;
        assert_eq!(violations(outcome), [Violation::Condition { position: last }]);
    }
}

/// A position beyond the head is no violation: nothing was recorded behind it.
pub async fn a_position_beyond_the_head_is_no_violation(h: &dyn Harness) {
    let store = h.open().await;
    let head = add(&*store, &stream("s"), event()).await.position;
    let beyond = head.checked_add(1_000_000).unwrap();
    conditional(&*store, unless(Query::all(), beyond)).await.unwrap();
    conditional(&*store, unless(Query::all(), Position::MAX)).await.unwrap();
}

/// The events of an append never fail its own condition, in an empty store neither.
pub async fn an_append_does_not_fail_its_own_condition(h: &dyn Harness) {
    let store = h.open().await;
    let condition = unless(Query::item(item(&["t"], &["a"])), Position::START);
    let batch = vec![tagged("t", &["a"]), tagged("t", &["a"])];
    let request = Append::to(stream("s"), Any, batch).condition(condition);
    store.append(request.clone()).await.unwrap();
    let last = store.head().await.unwrap();
    assert_eq!(violations(store.append(request).await), [Violation::Condition { position: last }]);
}

/// A condition and streams that both are not as expected are both reported, and nothing is written.
pub async fn violations_of_streams_and_condition_are_reported_together(h: &dyn Harness) {
    let store = h.open().await;
    let position = add(&*store, &stream("s"), tagged("t", &["a"])).await.position;
    let request = Append::to(stream("s"), NoStream, events(1)).condition(unless(Query::all(), Position::START));
    let conflict = violations(store.append(request).await);
    let (expected, actual) = (NoStream, StreamVersion::new(1));
    assert_eq!(conflict.len(), 2, "{conflict:?}");
    assert!(conflict.contains(&Violation::Condition { position }));
    assert!(conflict.contains(&Violation::Version { stream: stream("s"), expected, actual, newer: vec![] }));
    // A condition that holds does not save a stream that is not as expected.
    let request = Append::to(stream("s"), NoStream, events(1)).condition(unless(Query::all(), position));
    assert_eq!(violations(store.append(request).await).len(), 1);
    assert_eq!(everything(&*store).await.len(), 1);
}

/// The events of an erased stream are gone for conditions too.
pub async fn erased_events_fail_no_condition(h: &dyn Harness) {
    let store = h.open().await;
    add(&*store, &stream("s"), tagged("t", &["a"])).await;
    store.erase(&stream("s")).await.unwrap();
    let query = Query::item(item(&["t"], &["a"])).or(item(&["t"], &[]));
    assert_eq!(select(&*store, query.clone()).await, []);
    conditional(&*store, unless(query, Position::START)).await.unwrap();
}

/// Queries and appends may be large: no limit on parameters or the length of a statement shows.
pub async fn large_requests_work(h: &dyn Harness) {
    let store = h.open().await;
    let names: Vec<String> = (0..40).map(|n| format!("name-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let streams = (0..400).map(|n| recount_core::StreamAppend {
        stream: stream(&n.to_string()),
        expected: NoStream,
        events: (0..5).map(|m| tagged(names[(n + m) % 40], &names[m..m + 20])).collect(),
    });
    let request = Append { streams: streams.collect(), ..Append::default() };
    let condition = Query { items: (0..100).map(|n| item(&names, &[&format!("none-{n}"), "name-0"])).collect() };
    store.append(request.clone().condition(unless(condition, Position::START))).await.unwrap();
    let all = everything(&*store).await;
    assert_eq!(all.len(), 2000);
    assert_eq!(violations(store.append(request).await).len(), 400, "every violation is reported");
    // A hundred alternatives of forty types and up to twenty tags each.
    let query = Query { items: (0..100).map(|n| item(&names, &names[n % 5..n % 5 + n % 20])).collect() };
    let expected: Vec<_> = all.iter().filter(|event| query.matches(event)).cloned().collect();
    assert_eq!(select(&*store, query.clone()).await.len(), expected.len());
    let last = expected.last().unwrap().position;
    let outcome = conditional(&*store, unless(query, Position::START)).await;
    assert_eq!(violations(outcome), [Violation::Condition { position: last }]);
}

async fn conditional(store: &dyn Store, condition: recount_core::AppendCondition) -> Result<Appended, AppendError> {
    store.append(Append::to(stream("conditional"), Any, vec![typed("conditional")]).condition(condition)).await
}

fn random_event(random: &mut fastrand::Rng) -> EventData {
    let tags: Vec<&str> = (0..random.usize(0..4)).map(|_| some(random, &TAGS)).collect();
    tagged(some(random, &TYPES), &tags)
}

fn random_query(random: &mut fastrand::Rng) -> Query {
    let items = (0..random.usize(1..4)).map(|_| {
        let types: Vec<&str> = (0..random.usize(0..3)).map(|_| some(random, &TYPES)).collect();
        let tags: Vec<&str> = (0..random.usize(0..3)).map(|_| some(random, &TAGS)).collect();
        let category = random.u8(0..4) == 0;
        QueryItem {
            category: category.then(|| some(random, &["cat", "cats", "c", "none"]).into()),
            ..item(&types, &tags)
        }
    });
    Query { items: items.collect() }
}

const TYPES: [&str; 5] = ["t", "u", "T", "t.u", "t_u"];
const TAGS: [&str; 6] = ["a", "b", "a:1", "a:2", "%", "A"];

fn some<'a>(random: &mut fastrand::Rng, of: &[&'a str]) -> &'a str {
    of[random.usize(..of.len())]
}

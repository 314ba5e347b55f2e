//! Names are data: with any characters in it, a name stays that name and nothing else.

use recount_core::ExpectedVersion::{Any, NoStream};
use recount_core::{Append, EventData, EventType, Query, QueryItem, ReadStream, StoreError, StreamId, Tag};

use super::Harness;
use super::support::*;

/// Names that have troubled some store, broker or file system; each differs from all others.
pub const HOSTILE: [&str; 44] = [
    "x'); drop table e; --",
    "'",
    "\"",
    "`",
    "''",
    "\\",
    "\\'",
    "%",
    "%%",
    "_",
    "__",
    "a%",
    "a_",
    "ab",
    "$all",
    "$1",
    "?1",
    ":a",
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "//",
    "a/b",
    " ",
    "  ",
    " a",
    "a ",
    "\t",
    "\n",
    "\r\n",
    "*",
    ">",
    "a.b",
    "a.*",
    "#",
    "A",
    "a",
    "\u{202e}",
    "\u{feff}a",
    "\u{e9}",
    "e\u{301}",
    "\u{1f980}",
    "NULL",
];

/// A hostile stream id is a stream of its own, read back byte for byte.
pub async fn a_hostile_stream_id_is_a_stream_of_its_own(h: &dyn Harness) {
    let store = h.open().await;
    let streams: Vec<StreamId> = hostile(512).iter().map(|name| stream(name)).collect();
    for to in &streams {
        append(&*store, to, NoStream, vec![event()]).await.unwrap();
    }
    for from in &streams {
        let found = read(&*store, from).await;
        assert_eq!(found.len(), 1, "{from:?}");
        assert_eq!(&found[0].stream, from);
    }
    let all = everything(&*store).await;
    assert!(all.iter().map(|event| &event.stream).eq(&streams));
}

/// A query for a category finds exactly its events: no other category matches as prefix, pattern or in other case.
pub async fn a_category_is_compared_exactly(h: &dyn Harness) {
    let store = h.open().await;
    let mut names: Vec<String> = hostile(128).into_iter().filter(|name| !name.contains('/')).collect();
    names.extend(["order", "order_item", "orderXitem", "orders", "Order", "order-", "order%"].map(String::from));
    for name in &names {
        append(&*store, &StreamId::new(name, "1").unwrap(), NoStream, events(1)).await.unwrap();
    }
    for name in &names {
        let found = select(&*store, Query::category(name)).await;
        assert_eq!(found.iter().map(|event| event.stream.category()).collect::<Vec<_>>(), [name], "category {name:?}");
        let last = found[0].position;
        let condition = unless(Query::category(name), last);
        store.append(Append::to(stream("c"), Any, vec![event()]).condition(condition)).await.unwrap();
    }
}

/// A hostile tag or event type is found by itself only.
pub async fn tags_and_types_are_compared_exactly(h: &dyn Harness) {
    let store = h.open().await;
    let names = hostile(128);
    let written: Vec<EventData> = names.iter().map(|name| tagged(name, &[name, "all"])).collect();
    append(&*store, &stream("s"), Any, written.clone()).await.unwrap();
    for (name, written) in names.iter().zip(&written) {
        let by_tag = Query::tags([Tag::new(name).unwrap()]);
        let by_type = Query::types([EventType::new(name).unwrap()]);
        let by_both = Query::item(item(&[name], &["all", name]));
        for query in [by_tag, by_type, by_both] {
            assert_eq!(data(&select(&*store, query.clone()).await), std::slice::from_ref(written), "{query:?}");
        }
    }
    assert_eq!(select(&*store, Query::tags([tag("all")])).await.len(), names.len());
    let none = QueryItem { category: Some("te%t".into()), ..item(&[], &["all"]) };
    assert_eq!(select(&*store, Query::item(none)).await, []);
}

/// Names as long as they may be work, in all their places at once, also if they can't be compressed.
pub async fn the_longest_names_work(h: &dyn Harness) {
    let store = h.open().await;
    let mut random = random();
    let mut longest = |bytes: usize| -> String { (0..bytes / 4).map(|_| random.char('\u{10000}'..)).collect() };
    let to = StreamId::new(longest(128), longest(512)).unwrap();
    let tags: Vec<String> = (0..20).map(|_| longest(512)).collect();
    let written = tagged(&longest(128), &tags.iter().map(String::as_str).collect::<Vec<_>>());
    let idempotency = key(&longest(512));
    let request = Append::to(to.clone(), Any, vec![written.clone()]).idempotency_key(idempotency.clone());
    let appended = store.append(request).await.unwrap();
    assert_eq!(data(&read(&*store, &to).await), std::slice::from_ref(&written));
    assert_eq!(data(&select(&*store, Query::item(item(&[], &[&tags[19], &tags[0]]))).await), [written]);
    assert_eq!(find(&*store, &idempotency).await, Some(appended));
    let longest = state_key(&longest(1024));
    store.put(&longest, "x".into(), recount_core::ExpectedRevision::Absent, None).await.unwrap();
    assert_eq!(store.list(recount_core::Namespace::USER, longest.name(), None, 2).await.unwrap()[0].0, longest);
}

/// Hostile idempotency keys and state keys are keys of their own.
pub async fn a_hostile_key_is_a_key_of_its_own(h: &dyn Harness) {
    let store = h.open().await;
    for (n, name) in hostile(512).iter().enumerate() {
        assert_eq!(find(&*store, &key(name)).await, None, "{name:?}");
        let request = Append::to(stream("s"), Any, vec![typed(&format!("t{n}"))]).idempotency_key(key(name));
        let appended = store.append(request).await.unwrap();
        assert!(!appended.repeated, "{name:?}");
        assert_eq!(find(&*store, &key(name)).await, Some(appended), "{name:?}");
        let absent = recount_core::ExpectedRevision::Absent;
        store.put(&state_key(name), name.clone().into(), absent, None).await.unwrap();
    }
    for name in hostile(512) {
        assert_eq!(store.get(&state_key(&name)).await.unwrap().unwrap().value, name.as_bytes());
    }
}

/// Archiving or erasing a stream with a hostile name touches no other.
pub async fn closing_a_hostile_stream_touches_no_other(h: &dyn Harness) {
    let store = h.open().await;
    let victims = ["ab", "axb", "a", "A", "e\u{301}"].map(stream);
    for victim in &victims {
        fill(&*store, victim, 1).await;
    }
    for name in ["%", "_", "a%", "a_", "*", "' or ''='", "\u{e9}"] {
        fill(&*store, &stream(name), 1).await;
        store.archive(&stream(name)).await.unwrap();
        store.erase(&stream(name)).await.unwrap();
        let gone = collect_stream(&*store, ReadStream::new(stream(name))).await;
        assert!(matches!(gone, Err(StoreError::StreamErased { .. })), "{name:?}");
    }
    for victim in &victims {
        assert_eq!(append(&*store, victim, exact(1), events(1)).await.unwrap().streams[0].version.get(), 2);
    }
}

fn hostile(longest: usize) -> Vec<String> {
    let mut names: Vec<String> = HOSTILE.map(String::from).into();
    names.extend([1, 2, longest - 1, longest].map(|length| "z".repeat(length)));
    names
}

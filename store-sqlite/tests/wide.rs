//! Queries with very many items, over many kinds and pages, select what the memory store says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use futures_util::TryStreamExt;
use recount_core::{
    Append, AppendCondition, AppendError, Direction, EventData, EventStore, EventType, ExpectedVersion, Position,
    Query, QueryItem, ReadAll, StreamId, Tag,
};
use recount_store_memory::MemoryStore;
use recount_store_sqlite::SqliteStore;
use tempfile::TempDir;

const TYPES: usize = 400;

fn kind(number: usize) -> EventType {
    EventType::new(format!("type-{number}")).unwrap()
}

fn tag(number: usize) -> Tag {
    Tag::pair("tag", number).unwrap()
}

fn item(types: impl IntoIterator<Item = usize>, tags: impl IntoIterator<Item = usize>) -> QueryItem {
    QueryItem {
        event_types: types.into_iter().map(kind).collect(),
        tags: tags.into_iter().map(tag).collect(),
        category: None,
    }
}

fn query(items: impl IntoIterator<Item = QueryItem>) -> Query {
    Query { items: items.into_iter().collect() }
}

async fn positions(store: &dyn EventStore, read: ReadAll) -> Vec<u64> {
    store.read_all(read).map_ok(|event| event.position.get()).try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_queries_select_what_they_should() {
    let directory = TempDir::new().unwrap();
    let sqlite = SqliteStore::open(directory.path().join("events.db")).await.unwrap();
    let memory = MemoryStore::new();
    let mut random = fastrand::Rng::with_seed(7);
    for batch in 0..10 {
        let events = (0..500).map(|_| {
            // A few types are frequent, most are rare.
            let number = if random.u8(..) < 128 { random.usize(0..4) } else { random.usize(0..TYPES) };
            let mut event = EventData::new(kind(number), "{}");
            event.tags = (0..random.usize(0..4)).map(|_| tag(random.usize(0..800))).collect();
            event
        });
        let stream = StreamId::new(format!("category-{}", batch % 3), "1").unwrap();
        let append = Append::to(stream, ExpectedVersion::Any, events.collect());
        memory.append(append.clone()).await.unwrap();
        sqlite.append(append).await.unwrap();
    }
    let queries = [
        query([item([399], [])]),
        query([item([0], [])]),
        query([item(0..100, [])]),
        query([item(100..400, [])]),
        query([item(0..TYPES, [])]),
        query((0..200).map(|number| item([], [number]))),
        query((0..700).map(|number| item([], [number]))),
        query((0..50).map(|number| item([number % 4], [number, number + 1]))),
        query([item(0..300, [3]), item([], [4]), item([2], [])]),
        query([item([900], []), item([], [9000])]),
        Query::category("category-1"),
        Query::category("category-2").or(item([1], [5])),
    ];
    for (index, query) in queries.into_iter().enumerate() {
        for direction in [Direction::Forward, Direction::Backward] {
            for limit in [None, Some(7), Some(1500)] {
                let (after, to) = (Position::new(123), Position::new(4_876));
                let read = ReadAll { query: query.clone(), after, to, direction, limit };
                let expected = positions(&memory, read.clone()).await;
                assert_eq!(positions(&sqlite, read).await, expected, "query {index} {direction:?} {limit:?}");
            }
        }
        // The condition finds the last one as well.
        let last = positions(&memory, ReadAll { direction: Direction::Backward, ..ReadAll::new(query.clone()) }).await;
        let last = last.first().copied().unwrap_or(0);
        for after in [0, last.saturating_sub(1), last] {
            let stream = StreamId::new("conditional", format!("{index}-{after}")).unwrap();
            let append = Append::to(stream, ExpectedVersion::Any, vec![EventData::new(kind(9999), "{}")])
                .condition(AppendCondition { fail_if: query.clone(), after: Position::new(after) });
            let outcome = sqlite.append(append).await;
            assert_eq!(matches!(outcome, Err(AppendError::Conflict(_))), after < last, "query {index} {after} {last}");
        }
    }
}

//! Reads and conditions use the indexes that are there for them, and look at little more than what they give.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Fresh, event, events};
use futures_util::TryStreamExt;
use recount_core::{
    Append, AppendCondition, Direction, EventData, EventStore, EventType, ExpectedVersion, Position, Query, QueryItem,
    ReadAll, ReadStream, StreamId, StreamVersion, Tag,
};
use recount_store_postgres::PostgresStore;

const EVENTS: usize = 100_000;
/// What a look at some ten events may read of the indexes.
const LITTLE: i64 = 300;

fn tag(number: usize) -> Tag {
    Tag::new(format!("tag:{number}")).unwrap()
}

fn tagged(number: usize) -> EventData {
    EventData { tags: vec![tag(number), Tag::new("common").unwrap()], ..event() }
}

fn rare() -> EventData {
    EventData { event_type: EventType::new("account.rare").unwrap(), ..event() }
}

fn id(category: &str, id: &str) -> StreamId {
    StreamId::new(category, id).unwrap()
}

async fn fill(store: &PostgresStore) {
    for block in 0..EVENTS / 1000 {
        let block_of = (0..1000).map(|n| tagged((block * 1000 + n) / 10)).collect();
        let append = Append::to(id("account", &format!("s{}", block % 7)), ExpectedVersion::Any, block_of);
        store.append(append).await.unwrap();
        if block % 20 == 0 {
            store.append(Append::to(id("account", "s0"), ExpectedVersion::Any, vec![rare()])).await.unwrap();
            store.append(Append::to(id("quiet", "q"), ExpectedVersion::Any, events(2))).await.unwrap();
        }
    }
}

/// How often the index was used, and how much was read of all indexes and tables.
async fn used(fresh: &Fresh, index: &str) -> (i64, i64, i64) {
    let ours = "schemaname = 'recount' AND relname IN ('events', 'tags')";
    let scans = format!("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
    let read = format!("SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE {ours}");
    let through = format!("SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE {ours}");
    (fresh.number(&scans).await, fresh.number(&read).await, fresh.number(&through).await)
}

/// Runs it on a store of its own, whose sessions tell what they did when they end.
async fn little_is_read<F: Future<Output = usize>>(
    fresh: &Fresh,
    index: &str,
    wanted: usize,
    run: impl FnOnce(PostgresStore) -> F,
) {
    let before = used(fresh, index).await;
    let store = fresh.store().await;
    assert_eq!(run(store.clone()).await, wanted, "{index}");
    store.close().await;
    for _ in 0..100 {
        if used(fresh, index).await.0 > before.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The last of the sessions may end a little later.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let after = used(fresh, index).await;
    assert!(after.0 > before.0, "{index} is not used");
    assert!(after.1 - before.1 < LITTLE, "{index}: {} entries of indexes are read", after.1 - before.1);
    assert_eq!(after.2, before.2, "{index}: a table is read through");
}

async fn count(store: PostgresStore, query: Query, after: u64, limit: u64) -> usize {
    let read = ReadAll { after: Position::new(after), limit: Some(limit), ..ReadAll::new(query) };
    store.read_all(read).try_collect::<Vec<_>>().await.unwrap().len()
}

fn by_tag(number: usize) -> Query {
    Query { items: vec![QueryItem { tags: vec![tag(number)], ..QueryItem::default() }] }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_look_goes_through_its_index() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    fill(&store).await;
    store.close().await;
    fresh.execute("ANALYZE").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;

    little_is_read(&fresh, "events_by_stream", 10, |store| async move {
        let mut read = ReadStream::new(id("quiet", "q"));
        read.limit = Some(10);
        store.read_stream(read).try_collect::<Vec<_>>().await.unwrap().len()
    })
    .await;
    // The last of a long stream.
    little_is_read(&fresh, "events_by_stream", 10, |store| async move {
        let read =
            ReadStream { direction: Direction::Backward, limit: Some(10), ..ReadStream::new(id("account", "s1")) };
        let mut folded = 0;
        store.fold_stream(read, &mut |_| folded += 1).await.unwrap();
        folded
    })
    .await;
    // All of it: shown as they come, not collected and sorted first, which counts as no such fetch.
    let fetched = "SELECT idx_tup_fetch FROM pg_stat_user_indexes WHERE indexrelname = 'events_by_stream'";
    let before = fresh.number(fetched).await;
    let store = fresh.store().await;
    let mut folded = 0;
    store.fold_stream(ReadStream::new(id("account", "s1")), &mut |_| folded += 1).await.unwrap();
    assert!(folded > 10_000, "{folded}");
    store.close().await;
    for _ in 0..100 {
        if fresh.number(fetched).await >= before + folded {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(fresh.number(fetched).await >= before + folded, "a stream is not read in order of its index");

    little_is_read(&fresh, "events_by_position", 10, |store| count(store, Query::all(), 90_000, 10)).await;
    little_is_read(&fresh, "events_by_kind", 10, |store| count(store, Query::category("quiet"), 0, 100)).await;
    let rare = || Query {
        items: vec![QueryItem { event_types: vec![EventType::new("account.rare").unwrap()], ..QueryItem::default() }],
    };
    little_is_read(&fresh, "events_by_kind", 5, |store| count(store, rare(), 0, 100)).await;
    little_is_read(&fresh, "tags_by_tag", 10, |store| count(store, by_tag(5000), 0, 100)).await;
    // A condition that holds, and one that doesn't.
    for (after, written) in [(u64::from(u32::MAX), 1), (0, 0)] {
        little_is_read(&fresh, "tags_by_tag", written, |store| async move {
            let condition = AppendCondition { fail_if: by_tag(7000), after: Position::new(after) };
            let append = Append::to(id("quiet", "q"), ExpectedVersion::Any, events(1)).condition(condition);
            store.append(append).await.iter().count()
        })
        .await;
    }
    for (name, expected) in
        [("s1", ExpectedVersion::Exact(StreamVersion::new(folded.cast_unsigned()))), ("new", ExpectedVersion::NoStream)]
    {
        little_is_read(&fresh, "events_by_stream", 1, |store| async move {
            store.append(Append::to(id("account", name), expected, events(1))).await.iter().count()
        })
        .await;
    }
    little_is_read(&fresh, "events_by_stream", 1, |store| async move {
        let append = Append::to(id("quiet", "q"), ExpectedVersion::StreamExists, vec![tagged(1)]);
        store.append(append).await.iter().count()
    })
    .await;
}

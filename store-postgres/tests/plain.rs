//! Appends of one event each that wait at the same time share a short call.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::HashSet;

use common::{Fresh, append, event, read_all, stream};
use futures_util::future::join_all;
use recount_core::{
    Append, AppendError, EventData, EventStore, ExpectedVersion, Query, ReadAll, ReadStream, StreamVersion, Tag,
    Violation,
};

use futures_util::TryStreamExt;

const STREAMS: usize = 60;

fn tagged(number: usize) -> EventData {
    let tags = [format!("number:{number}"), "all".to_owned(), "all".to_owned()];
    EventData { tags: tags.map(|tag| Tag::new(tag).unwrap()).to_vec(), ..event() }
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_share_a_call_succeed_and_conflict_each_on_its_own() {
    let fresh = Fresh::new().await;
    fresh
        .execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_functions = pl', current_database()); END $$")
        .await
        .unwrap();
    let store = fresh.store().await;
    let name = |number: usize| stream(&format!("s{number}"));
    for number in (0..STREAMS).filter(|number| number % 6 != 5) {
        store.append(append(&format!("s{number}"), 2)).await.unwrap();
    }
    for number in 0..STREAMS {
        match number % 6 {
            3 => store.archive(&name(number)).await.unwrap(),
            4 => store.erase(&name(number)).await.unwrap(),
            _ => {}
        }
    }
    let before = store.head().await.unwrap();
    let outcomes = join_all((0..STREAMS).map(|number| {
        let expected = match number % 6 {
            0 => ExpectedVersion::Exact(StreamVersion::new(2)),
            1 => ExpectedVersion::Exact(StreamVersion::new(1)),
            2 => ExpectedVersion::NoStream,
            5 if number % 4 == 1 => ExpectedVersion::StreamExists,
            _ => ExpectedVersion::Any,
        };
        let store = store.clone();
        async move { store.append(Append::to(name(number), expected, vec![tagged(number)])).await }
    }))
    .await;

    let mut positions = HashSet::new();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let violation = match outcome {
            Ok(appended) => {
                let version = match number % 6 {
                    0 => 3,
                    5 if number % 4 != 1 => 1,
                    _ => panic!("{number} was written"),
                };
                assert_eq!(appended.streams[0].version, StreamVersion::new(version), "{number}");
                assert!(appended.position > before && positions.insert(appended.position), "{number}");
                continue;
            }
            Err(AppendError::Conflict(conflict)) => conflict.violations.into_iter().next().unwrap(),
            Err(error) => panic!("{number}: {error}"),
        };
        let stream = name(number);
        match (number % 6, violation) {
            (1, Violation::Version { newer, actual, .. }) => {
                assert_eq!((actual, newer.len()), (StreamVersion::new(2), 1), "{number}");
            }
            (2, Violation::Version { actual, .. }) => assert_eq!(actual, StreamVersion::new(2), "{number}"),
            (3, violation) => assert!(matches!(violation, Violation::Archived { stream: found } if found == stream)),
            (4, violation) => assert!(matches!(violation, Violation::Erased { stream: found } if found == stream)),
            (5, Violation::Version { actual, .. }) => assert_eq!(actual, StreamVersion::EMPTY, "{number}"),
            (_, violation) => panic!("{number}: {violation:?}"),
        }
    }

    // What was refused left no tags, and what was written has each of its tags once.
    let read = ReadAll::new(Query::tags([Tag::new("all").unwrap()]));
    let found: Vec<_> = store.read_all(read).try_collect().await.unwrap();
    let found: HashSet<_> = found.iter().map(|event| event.position).collect();
    assert_eq!(found, positions);
    assert_eq!(read_all(&store).await.iter().filter(|event| event.position > before).count(), positions.len());
    store.close().await;
    let calls = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_user_functions WHERE funcname = 'append_each'";
    for _ in 0..100 {
        if fresh.number(calls).await > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let calls = fresh.number(calls).await;
    assert!((1..STREAMS as i64 / 2).contains(&calls), "{calls} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_come_anywhere_learn_where_they_came() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    for number in 0..STREAMS {
        store.append(append(&format!("s{number}"), 1 + number % 3)).await.unwrap();
    }
    let outcomes = join_all((0..STREAMS).map(|number| {
        let expected = if number % 2 == 0 { ExpectedVersion::Any } else { ExpectedVersion::StreamExists };
        store.append(Append::to(stream(&format!("s{number}")), expected, vec![event()]))
    }))
    .await;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let appended = outcome.unwrap();
        assert_eq!(appended.streams[0].version, StreamVersion::new(2 + number as u64 % 3), "{number}");
        let read = ReadStream::new(stream(&format!("s{number}"))).after(StreamVersion::new(1 + number as u64 % 3));
        let written: Vec<_> = store.read_stream(read).try_collect().await.unwrap();
        assert_eq!(written.len(), 1, "{number}");
        assert_eq!(written[0].position, appended.position, "{number}");
    }
}

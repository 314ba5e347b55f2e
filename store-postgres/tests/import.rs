//! Importing: what was recorded elsewhere is here as it was, and nobody else notices more than an append.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::process::{self, Killed};
use common::{Fresh, append, execute_on, read, read_all, stream};
use futures_util::{StreamExt, TryStreamExt, stream as streams};
use recount_core::{
    Append, AppendCondition, AppendError, Conflict, EventData, EventId, EventStore, EventType, ExpectedVersion,
    InvalidAppend, MAX_PAYLOAD, Metadata, Position, Query, QueryItem, ReadAll, RecordedEvent, StoreError, StreamId,
    StreamVersion, Tag, Timestamp, Violation,
};
use recount_store_postgres::{ImportError, Imported, PostgresStore};
use uuid::Uuid;

/// As it comes from a source that knows nothing of this store: no place, but an id and a time.
fn recorded(id: &str, number: u64) -> RecordedEvent {
    let data = EventData::new(EventType::new("account.opened").unwrap(), format!("{{\"n\":{number}}}"));
    RecordedEvent {
        position: Position::START,
        stream: stream(id),
        version: StreamVersion::EMPTY,
        recorded_at: Timestamp::from_microsecond(1_234_567_890_000_001 + i64::try_from(number).unwrap()).unwrap(),
        data: EventData { id: EventId(Uuid::from_u128(u128::from(number))), ..data },
    }
}

fn source(events: Vec<RecordedEvent>) -> impl futures_util::Stream<Item = Result<RecordedEvent, StoreError>> + Send {
    streams::iter(events).map(Ok)
}

fn imported(written: u64, skipped: u64) -> Imported {
    Imported { written, skipped }
}

/// Versions without holes in each stream, and positions that increase.
fn check_order(events: &[RecordedEvent]) {
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    for event in events {
        let version = versions.entry(&event.stream).or_default();
        *version += 1;
        assert_eq!(event.version.get(), *version, "{}", event.stream);
    }
    assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_about_an_event_is_kept() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let odd =
        ["\\N", "\\.", "a\tb\\tc\nd\re", "\"'; DROP TABLE events; --", "日本語 🦀 \u{202e}", "%_{}\u{1}\u{7f}\u{ffff}"];
    let times = [0, 1, -1, 999_999, 946_684_800_000_000, -62_000_000_000_000_001, 253_402_207_199_999_999];
    let mut events = Vec::new();
    for number in 0..200 {
        let text = odd[number % odd.len()];
        let payload: Vec<u8> = (0..number * 7).map(|byte| u8::try_from(byte % 256).unwrap()).collect();
        let header = |name: &str| (format!("{name}{text}"), format!("\0{text}\0"));
        let metadata = Metadata {
            correlation_id: (number % 2 == 0).then(|| text.into()),
            actor: (number % 3 == 0).then(|| "\0nul".into()),
            headers: BTreeMap::from([header("a"), header("b")]),
            ..Metadata::default()
        };
        let event = recorded("x", number as u64);
        events.push(RecordedEvent {
            stream: StreamId::new(format!("cat{}", number % 3), text).unwrap(),
            recorded_at: Timestamp::from_microsecond(times[number % times.len()]).unwrap(),
            data: EventData {
                event_type: EventType::new(format!("t{}{text}", number % 5)).unwrap(),
                schema_version: if number == 7 { u32::MAX } else { 3 },
                payload: payload.into(),
                tags: odd[..number % odd.len()].iter().map(|tag| Tag::new(tag).unwrap()).collect(),
                metadata: if number % 4 == 0 { Metadata::default() } else { metadata },
                ..event.data
            },
            ..event
        });
    }
    assert_eq!(store.import(source(events.clone())).await.unwrap(), imported(200, 0));
    let read = read_all(&store).await;
    check_order(&read);
    let whole = |event: &RecordedEvent| (event.stream.clone(), event.recorded_at, event.data.clone());
    assert_eq!(read.iter().map(whole).collect::<Vec<_>>(), events.iter().map(whole).collect::<Vec<_>>());

    // From store to store, after which the import is repeated: nothing is new, whoever it comes from.
    let other = Fresh::new().await;
    let copy = other.store().await;
    assert_eq!(copy.import(store.read_all(ReadAll::new(Query::all()))).await.unwrap(), imported(200, 0));
    assert_eq!(read_all(&copy).await.iter().map(whole).collect::<Vec<_>>(), read.iter().map(whole).collect::<Vec<_>>());
    assert_eq!(store.import(copy.read_all(ReadAll::new(Query::all()))).await.unwrap(), imported(0, 200));
}

/// What a timestamp holds beyond microseconds is cut off, on the first run and on the second.
#[tokio::test(flavor = "multi_thread")]
async fn times_keep_microseconds() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let nanoseconds = [1_700_000_000_123_456_789, -1_700_000_000_123_456_789];
    let events: Vec<_> = (0..2_usize)
        .map(|number| RecordedEvent {
            recorded_at: Timestamp::from_nanosecond(nanoseconds[number]).unwrap(),
            ..recorded("a", number as u64)
        })
        .collect();
    assert_eq!(store.import(source(events.clone())).await.unwrap(), imported(2, 0));
    assert_eq!(store.import(source(events)).await.unwrap(), imported(0, 2));
    let times: Vec<i128> = read(&store, "a").await.iter().map(|event| event.recorded_at.as_nanosecond()).collect();
    assert_eq!(times, [1_700_000_000_123_456_000, -1_700_000_000_123_456_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_conditions_see_what_is_imported() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    store.append(append("before", 1)).await.unwrap();
    let head = store.head().await.unwrap();
    let mut events: Vec<_> = (0..100).map(|number| recorded(&format!("{number}"), number)).collect();
    for (number, event) in events.iter_mut().enumerate() {
        // The second one twice.
        let tags = [format!("n:{}", number % 10), "all".to_owned(), "all".to_owned()];
        event.data.tags = tags.iter().map(|tag| Tag::new(tag).unwrap()).collect();
    }
    store.import(source(events)).await.unwrap();
    let tagged = |tags: &[&str]| {
        let tags = tags.iter().map(|tag| Tag::new(tag).unwrap()).collect();
        Query { items: vec![QueryItem { tags, ..QueryItem::default() }] }
    };
    let select = async |query: Query| store.read_all(ReadAll::new(query)).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(select(tagged(&["all"])).await.len(), 100);
    let third = select(tagged(&["n:3", "all"])).await;
    assert_eq!(
        third.iter().map(|event| event.stream.id()).collect::<Vec<_>>(),
        ["3", "13", "23", "33", "43", "53", "63", "73", "83", "93"]
    );
    let condition = |tag: &str, after| AppendCondition { fail_if: tagged(&[tag]), after };
    let outcome = store.append(append("c", 1).condition(condition("n:3", head))).await;
    let Err(AppendError::Conflict(Conflict { violations })) = outcome else { panic!("{outcome:?}") };
    assert_eq!(violations, [Violation::Condition { position: third[9].position }]);
    store.append(append("c", 1).condition(condition("n:3", third[9].position))).await.unwrap();
    store.append(append("c", 1).condition(condition("n:10", head))).await.unwrap();
    // An expected version, too.
    let expecting = Append::to(stream("3"), ExpectedVersion::NoStream, common::events(1));
    assert!(matches!(store.append(expecting).await, Err(AppendError::Conflict(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_event_is_named_and_its_batch_is_not_written() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    store.import(source(vec![recorded("a", 1)])).await.unwrap();
    let elsewhere = recorded("b", 1);
    let later = RecordedEvent { recorded_at: Timestamp::UNIX_EPOCH, ..recorded("a", 1) };
    for wrong in [elsewhere, later] {
        let outcome = store.import(source(vec![recorded("a", 2), wrong, recorded("a", 3)])).await;
        let Err(ImportError::Store(AppendError::DuplicateEvent { id })) = outcome else { panic!("{outcome:?}") };
        assert_eq!(id, recorded("a", 1).data.id);
    }
    assert_eq!(read_all(&store).await.len(), 1);
    // The same within a batch.
    let outcome = store.import(source(vec![recorded("a", 5), recorded("a", 4), recorded("b", 5)])).await;
    let Err(ImportError::Store(AppendError::DuplicateEvent { id })) = outcome else { panic!("{outcome:?}") };
    assert_eq!(id, recorded("a", 5).data.id);
    assert_eq!(store.import(source(vec![recorded("a", 6), recorded("a", 6)])).await.unwrap(), imported(1, 1));
    // And by an append.
    let again = Append::to(stream("c"), ExpectedVersion::Any, vec![recorded("a", 6).data]);
    assert!(matches!(store.append(again).await, Err(AppendError::DuplicateEvent { .. })));
    assert_eq!(read_all(&store).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_streams_are_refused() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let first: Vec<_> = ["open", "archived", "erased"].iter().zip(1..).map(|(id, n)| recorded(id, n)).collect();
    store.import(source(first.clone())).await.unwrap();
    store.archive(&stream("archived")).await.unwrap();
    store.erase(&stream("erased")).await.unwrap();
    for (id, number) in [("archived", 4), ("erased", 5)] {
        let outcome = store.import(source(vec![recorded("open", 6), recorded(id, number)])).await;
        let Err(ImportError::Store(AppendError::Conflict(Conflict { violations }))) = outcome else {
            panic!("{outcome:?}")
        };
        let stream = stream(id);
        let expected = if id == "erased" { Violation::Erased { stream } } else { Violation::Archived { stream } };
        assert_eq!(violations, [expected]);
    }
    // What was archived since is there: a repetition is none the wiser.
    assert_eq!(store.import(source(first[..2].to_vec())).await.unwrap(), imported(0, 2));
    assert_eq!(read_all(&store).await.len(), 2);
    store.close().await;
    let closed = store.import(source(first)).await;
    assert!(matches!(closed, Err(ImportError::Store(AppendError::Store(StoreError::Closed)))), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_a_bad_event_is_imported() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let mut large = recorded("a", 3);
    large.data.payload = vec![0; MAX_PAYLOAD + 1].into();
    let outcome = store.import(source(vec![recorded("a", 1), recorded("a", 2), large, recorded("a", 4)])).await;
    let Err(ImportError::Invalid { id, source: InvalidAppend::PayloadTooLarge { .. } }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(id, recorded("a", 3).data.id);
    let events = vec![Ok(recorded("a", 1)), Ok(recorded("a", 4)), Err("the tape is torn"), Ok(recorded("a", 5))];
    let outcome = store.import(streams::iter(events)).await;
    let Err(ImportError::Source(torn)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(torn.to_string(), "the tape is torn");
    let numbers: Vec<u128> = read(&store, "a").await.iter().map(|event| event.data.id.0.as_u128()).collect();
    assert_eq!(numbers, [1, 2, 4]);
    assert_eq!(store.import(source(Vec::new())).await.unwrap(), Imported::default());
}

/// Rights to add rows are enough.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_only_role_can_import() {
    let fresh = Fresh::new().await;
    fresh.store().await.close().await;
    fresh.execute("CREATE ROLE importer LOGIN").await.ok();
    let grants = "GRANT USAGE ON SCHEMA recount TO importer; GRANT SELECT ON ALL TABLES IN SCHEMA recount TO importer;
        GRANT INSERT ON recount.events, recount.tags, recount.kinds TO importer;
        GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA recount TO importer";
    fresh.execute(grants).await.unwrap();
    let store = PostgresStore::open(&fresh.url().replacen("postgres@", "importer@", 1)).await.unwrap();
    assert_eq!(store.import(source(vec![recorded("a", 1)])).await.unwrap(), imported(1, 0));
}

/// Appends to the same streams and other ones go on, and a subscriber misses nothing: once where a batch has so many streams
/// that it locks everything, once where it has few.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_and_subscribers_go_on_beside_an_import() {
    for (ids, count) in [(3000, 15_000), (20, 12_000)] {
        let fresh = Fresh::new().await;
        let (store, other) = (fresh.store().await, fresh.store().await);
        let done = Arc::new(AtomicBool::new(false));
        let follower = tokio::spawn(follow(fresh.store().await, done.clone()));
        let writers: Vec<_> = (0..6_usize)
            .map(|writer| {
                let (store, done) = (if writer % 2 == 0 { store.clone() } else { other.clone() }, done.clone());
                tokio::spawn(async move {
                    let mut written = 0;
                    while !done.load(Ordering::SeqCst) {
                        let to = format!("{}", fastrand::u64(0..ids));
                        store.append(append(&to, 2)).await.unwrap();
                        written += 2;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    written
                })
            })
            .collect();
        let tagged = |number: u64| {
            let mut event = recorded(&format!("{}", number % ids), number + 1);
            event.data.tags = vec![Tag::pair("t", number % 40).unwrap()];
            event
        };
        // Two at once, of which one repeats part of the other.
        let all = || source((0..count).map(tagged).collect());
        let half = source((0..count / 2).map(tagged).collect());
        let (one, two) = tokio::join!(store.import(all()), other.import(half));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.written + two.written, count);
        assert_eq!(one.skipped + two.skipped, count / 2);
        done.store(true, Ordering::SeqCst);
        let mut appended = 0;
        for writer in writers {
            appended += writer.await.unwrap();
        }
        let seen = follower.await.unwrap();
        let events = read_all(&store).await;
        assert!(appended > 50, "{appended}");
        assert_eq!(events.len(), usize::try_from(count).unwrap() + appended);
        check_order(&events);
        // What was not seen before the end was not there yet.
        assert_eq!(seen, events[..seen.len()]);
        assert!(seen.len() > events.len() / 2, "{} of {}", seen.len(), events.len());
        // Each stream has what was imported in the order of the source.
        let mut last: HashMap<&StreamId, u128> = HashMap::new();
        for event in events.iter().filter(|event| event.data.id.0.as_u128() <= u128::from(count)) {
            let number = event.data.id.0.as_u128();
            assert!(last.insert(&event.stream, number).is_none_or(|last| last < number));
        }
    }
}

/// Follows the head until told to stop.
async fn follow(store: PostgresStore, done: Arc<AtomicBool>) -> Vec<RecordedEvent> {
    let mut watch = store.watch();
    let mut seen: Vec<RecordedEvent> = Vec::new();
    while !done.load(Ordering::SeqCst) {
        watch.borrow_and_update();
        let after = seen.last().map_or(Position::START, |event| event.position);
        let mut read = store.read_all(ReadAll { after, ..ReadAll::new(Query::all()) });
        while let Some(event) = read.next().await {
            let event = event.unwrap();
            assert!(seen.last().is_none_or(|last| last.position < event.position));
            seen.push(event);
        }
        let _ = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
    }
    seen
}

/// Whoever watches learns of each batch, in other processes as well.
#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_woken() {
    let fresh = Fresh::new().await;
    let never = Duration::from_secs(3600);
    let open = async || PostgresStore::builder(&fresh.url()).poll(never).open().await.unwrap();
    let (store, other) = (open().await, open().await);
    let mut watch = other.watch();
    watch.borrow_and_update();
    // The source goes on for ever, so that the first batch is not the last.
    let endless = source((1..=5000).map(|number| recorded("a", number)).collect()).chain(streams::pending());
    let importing = tokio::spawn(async move { store.import(endless).await });
    tokio::time::timeout(Duration::from_secs(10), watch.wait_for(|head| head.get() >= 5000)).await.unwrap().unwrap();
    importing.abort();
}

/// A payload that counts itself while it is in memory.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, most) = (now.clone(), peak.clone());
    // 150 MB of them, in events of all sizes.
    let events = streams::iter((0..30_000_u64).map(move |number| {
        let size = if number % 300 == 0 { 1024 * 1024 } else { 1500 };
        most.fetch_max(counter.fetch_add(size, Ordering::SeqCst) + size, Ordering::SeqCst);
        let mut event = recorded(&format!("{}", number % 100), number + 1);
        event.data.payload = Bytes::from_owner(Counted(vec![7; size], counter.clone()));
        Ok::<_, StoreError>(event)
    }));
    assert_eq!(store.import(events).await.unwrap(), imported(30_000, 0));
    assert_eq!(now.load(Ordering::SeqCst), 0);
    let peak = peak.load(Ordering::SeqCst);
    assert!(peak < 20 * 1024 * 1024, "{peak} bytes at once");
}

const TOTAL: u64 = 40_000;

fn all() -> impl futures_util::Stream<Item = Result<RecordedEvent, StoreError>> + Send {
    streams::iter((1..=TOTAL).map(|number| Ok(recorded(&format!("{}", number % 700), number))))
}

/// Not a test of its own: the process that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    if process::part().is_some() {
        let store = PostgresStore::open(&process::told("URL")).await.unwrap();
        store.import(all()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_or_dropped_goes_on_where_it_was() {
    let mut random = fastrand::Rng::with_seed(process::seed());
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let count = async || fresh.number("SELECT count(*) FROM recount.events").await;
    let mut broken_off = 0;
    for round in 0..6 {
        let before = count().await;
        let pause = Duration::from_millis(random.u64(0..150));
        // Somewhere in the batches after the next one.
        let enough = async || {
            while count().await == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(pause).await;
        };
        if round % 2 == 0 {
            let child = Killed(process::spawn("import", &[("URL", fresh.url())]));
            enough().await;
            drop(child);
        } else {
            let importing = store.clone();
            let importing = tokio::spawn(async move { importing.import(all()).await });
            enough().await;
            importing.abort();
        }
        // Whole batches only: the process of the server that was left alone ends its transaction, one way or the other.
        let settled = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";
        while fresh.number(settled).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let there = count().await;
        assert_eq!(there % 5000, 0, "{there}");
        if there < i64::try_from(TOTAL).unwrap() {
            broken_off += 1;
        } else {
            break;
        }
    }
    assert!(broken_off > 0, "{broken_off}");
    let there = u64::try_from(count().await).unwrap();
    assert_eq!(store.import(all()).await.unwrap(), imported(TOTAL - there, there));
    let events = read_all(&store).await;
    check_order(&events);
    let numbers: Vec<u128> = events.iter().map(|event| event.data.id.0.as_u128()).collect();
    assert_eq!(numbers, (1..=u128::from(TOTAL)).collect::<Vec<_>>());
}

/// Backends that are ended in the middle, and appenders who record the same ids meanwhile, are got over.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_gets_over_ended_backends() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let importing = tokio::spawn(async move { store.import(all()).await });
    let mut shell = fresh.shell().await;
    let mut killed = 0;
    while !importing.is_finished() {
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'recount' AND query LIKE 'COPY%'";
        let hit = execute_on(&mut shell, kill).await.unwrap();
        killed += hit;
        // Not faster than it gets on.
        let pause = if hit > 0 { fastrand::u64(200..500) } else { 3 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let done = importing.await.unwrap().unwrap();
    // A commit whose answer was lost is found out to have happened.
    assert_eq!(done.written + done.skipped, TOTAL);
    assert!(killed > 0);
    let events = read_all(&fresh.store().await).await;
    check_order(&events);
    assert_eq!(events.len(), usize::try_from(TOTAL).unwrap());
}

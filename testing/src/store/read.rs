//! Reading streams and the whole store: bounds, directions, limits, page seams.

use std::time::Duration;

use futures_util::future::{BoxFuture, Fuse};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use recount_core::{
    Direction, EventRef, Namespace, Position, Query, ReadAll, ReadStream, RecordedEvent, Store, StoreError,
    StreamVersion,
};
use tokio::time::timeout;

use super::support::*;
use super::{Harness, support};

const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

/// The events that a read of a stream gives; folding the stream shows the same.
async fn collect_stream(store: &dyn Store, read: ReadStream) -> Result<Vec<RecordedEvent>, StoreError> {
    let found = support::collect_stream(store, read.clone()).await;
    let mut folded = Vec::new();
    let mut each = |event: EventRef<'_>| {
        let EventRef { version, event_type, schema_version, payload } = event;
        folded.push((version, event_type.to_owned(), schema_version, payload.to_vec()));
    };
    let outcome = store.fold_stream(read.clone(), &mut each).await;
    match (&found, outcome) {
        (Ok(found), Ok(())) => {
            let same =
                found.iter().map(EventRef::from).eq(folded.iter().map(|(version, event_type, schema, payload)| {
                    EventRef { version: *version, event_type, schema_version: *schema, payload }
                }));
            assert!(same, "{read:?} folds {} events of {}", folded.len(), found.len());
        }
        (Err(found), Err(outcome)) => assert_eq!(found.to_string(), outcome.to_string(), "{read:?}"),
        (found, outcome) => panic!("{read:?} reads {found:?} and folds {outcome:?}"),
    }
    found
}

/// A stream that never was is an error; one that has nothing in the wanted range gives nothing.
pub async fn an_unknown_stream_differs_from_an_empty_range(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 2).await;
    for limit in [None, Some(0), Some(1)] {
        let unknown = ReadStream { limit, ..ReadStream::new(stream("unknown")) };
        let found = collect_stream(&*store, unknown).await;
        assert!(
            matches!(&found, Err(StoreError::StreamNotFound { stream: name }) if *name == stream("unknown")),
            "limit {limit:?}: {found:?}"
        );
        let beyond = ReadStream { limit, ..ReadStream::new(stream("s")).after(StreamVersion::new(2)) };
        assert_eq!(collect_stream(&*store, beyond).await.unwrap(), []);
    }
    // Reading does not make a stream.
    assert!(collect_stream(&*store, ReadStream::new(stream("unknown"))).await.is_err());
}

/// Every combination of bounds, direction and limit.
fn ranges() -> impl Iterator<Item = ReadStream> {
    let bounds = [0, 1, 3, 6, 7, 8, u64::MAX].map(StreamVersion::new);
    let bounds = bounds.into_iter().flat_map(move |from| bounds.map(|to| (from, to)));
    bounds.flat_map(|(from, to)| {
        options().map(move |(direction, limit)| ReadStream { stream: stream("s"), from, to, direction, limit })
    })
}

/// Every combination of bounds, direction and limit selects the right events, also once the stream is archived.
pub async fn a_stream_is_read_between_any_bounds(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("before"), 3).await;
    let all = fill(&*store, &stream("s"), 7).await;
    for archived in [false, true] {
        if archived {
            store.archive(&stream("s")).await.unwrap();
        }
        for wanted in ranges() {
            let within = |event: &RecordedEvent| event.version >= wanted.from && event.version <= wanted.to;
            let expected = choose(&all, within, wanted.direction, wanted.limit);
            assert_eq!(collect_stream(&*store, wanted.clone()).await.unwrap(), expected, "{archived}: {wanted:?}");
        }
    }
}

/// None of them gives anything of an erased stream, which they all say.
pub async fn an_erased_stream_is_told_in_every_range(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 7).await;
    store.erase(&stream("s")).await.unwrap();
    for wanted in ranges() {
        let found = collect_stream(&*store, wanted.clone()).await;
        assert!(matches!(found, Err(StoreError::StreamErased { .. })), "{wanted:?}: {found:?}");
    }
}

/// So it does for the whole store.
pub async fn the_store_is_read_between_any_bounds(h: &dyn Harness) {
    let store = h.open().await;
    for n in 0..7 {
        fill(&*store, &stream(["a", "b", "c"][n % 3]), 1).await;
    }
    let all = everything(&*store).await;
    assert_eq!(all.len(), 7);
    let mut bounds: Vec<Position> = all.iter().map(|event| event.position).collect();
    bounds.extend([Position::START, bounds[6].next(), Position::MAX]);
    for (after, to) in bounds.iter().flat_map(|after| bounds.iter().map(|to| (*after, *to))) {
        for (direction, limit) in options() {
            let wanted = ReadAll { query: Query::all(), after, to, direction, limit };
            let expected = choose(&all, |event| event.position > after && event.position <= to, direction, limit);
            assert_eq!(collect_all(&*store, wanted.clone()).await, expected, "{wanted:?}");
        }
    }
}

/// Nothing is lost, repeated or out of order where one page of a read ends and the next begins.
pub async fn pages_join_without_a_seam(h: &dyn Harness) {
    let store = h.open().await;
    let to = stream("s");
    let all = fill(&*store, &to, 1026).await;
    assert_eq!(versions(&all), (1..=1026).collect::<Vec<_>>());
    let place = |version: u64| if version == 0 { Position::START } else { all[version as usize - 1].position };
    for seam in [1, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 1026] {
        for direction in DIRECTIONS {
            for (after, until, limit) in
                [(seam, 1026, None), (0, seam, None), (0, 1026, Some(seam)), (1, 1026, Some(seam))]
            {
                let (from, to_version) = (StreamVersion::new(after + 1), StreamVersion::new(until));
                let in_stream = ReadStream { stream: to.clone(), from, to: to_version, direction, limit };
                let (after, until) = (place(after), place(until));
                let in_store = ReadAll { query: Query::all(), after, to: until, direction, limit };
                let expected =
                    choose(&all, |event| event.version >= from && event.version <= to_version, direction, limit);
                let found = collect_stream(&*store, in_stream.clone()).await.unwrap();
                assert!(found == expected, "{in_stream:?} gives {:?}", versions(&found));
                let found = collect_all(&*store, in_store.clone()).await;
                assert!(found == expected, "{in_store:?} gives {:?}", versions(&found));
            }
        }
    }
}

/// A read that few events match goes on past those that don't.
pub async fn a_read_passes_over_many_events_that_do_not_match(h: &dyn Harness) {
    let store = h.open().await;
    let mut many = events(6000);
    for rare in [0, 511, 512, 4095, 4096, 5999] {
        many[rare].tags = vec![tag("rare")];
    }
    append(&*store, &stream("s"), recount_core::ExpectedVersion::Any, many).await.unwrap();
    let rare = select(&*store, Query::tags([tag("rare")])).await;
    assert_eq!(versions(&rare), [1, 512, 513, 4096, 4097, 6000]);
    // Also where the two parts of an item are frequent, but hardly ever together.
    let both = Query::item(recount_core::QueryItem { category: Some("test".into()), ..item(&["tested"], &["rare"]) });
    for direction in DIRECTIONS {
        let read = ReadAll { direction, limit: Some(5), ..ReadAll::new(both.clone()) };
        assert_eq!(collect_all(&*store, read).await, choose(&rare, |_| true, direction, Some(5)));
    }
}

/// A read that is open while others append gives the events that were there, in order; newer ones perhaps, then gapless.
pub async fn an_open_read_survives_appends(h: &dyn Harness) {
    let store = h.open().await;
    let to = stream("s");
    fill(&*store, &to, 1100).await;
    let mut in_stream = store.read_stream(ReadStream::new(to.clone()));
    let mut in_store = store.read_all(ReadAll::new(Query::all()));
    let mut found = (Vec::new(), Vec::new());
    for round in 0..11 {
        for _ in 0..100 {
            found.0.push(in_stream.next().await.unwrap().unwrap());
            found.1.push(in_store.next().await.unwrap().unwrap());
        }
        append(&*store, &to, recount_core::ExpectedVersion::Any, events(round * 7)).await.ok();
    }
    found.0.extend(in_stream.try_collect::<Vec<_>>().await.unwrap());
    found.1.extend(in_store.try_collect::<Vec<_>>().await.unwrap());
    let all = read(&*store, &to).await;
    for found in [found.0, found.1] {
        assert!(found.len() >= 1100);
        assert!(found == all[..found.len()], "{:?}", versions(&found));
    }
}

/// Readers that stopped reading hold up no other caller, and can go on later.
pub async fn idle_reads_hold_nobody_up(h: &dyn Harness) {
    let store = h.open().await;
    let to = stream("s");
    fill(&*store, &to, 1100).await;
    let mut idle = Vec::new();
    for n in 0..64 {
        let mut read = match n % 2 {
            0 => store.read_stream(ReadStream::new(to.clone())),
            _ => store.read_all(ReadAll::new(Query::all())),
        };
        read.next().await.unwrap().unwrap();
        idle.push(read);
    }
    fill(&*store, &stream("other"), 10).await;
    assert_eq!(read(&*store, &to).await.len(), 1100);
    for (n, read) in idle.into_iter().enumerate() {
        if n % 4 < 2 {
            assert!(read.try_collect::<Vec<_>>().await.unwrap().len() >= 1099);
        }
    }
    fill(&*store, &stream("other"), 10).await;
}

/// Reads and questions that have begun, and are then not polled because their caller waits for something else, hold up no
/// others. There are more of them than a store has connections, and they have come to different steps.
pub async fn requests_that_are_not_polled_hold_up_no_others(h: &dyn Harness) {
    let store = h.open().await;
    let (to, missing) = (stream("s"), key("missing"));
    let entry = Namespace::USER.key("entry").unwrap();
    fill(&*store, &to, 1100).await;
    for polls in 1..=3 {
        let whole = ReadStream::new(to.clone());
        let mut begun: Vec<Fuse<BoxFuture<'_, ()>>> = Vec::new();
        for _ in 0..32 {
            let mut all = store.read_all(ReadAll::new(Query::all()));
            let mut one = store.read_stream(whole.clone());
            begun.push(async move { drop(all.next().await) }.boxed().fuse());
            begun.push(async move { drop(one.next().await) }.boxed().fuse());
            begun.push(async { drop(store.head().await) }.boxed().fuse());
            begun.push(async { drop(store.event_at(Position::new(1)).await) }.boxed().fuse());
            begun.push(async { drop(store.find_append(&missing).await) }.boxed().fuse());
            begun.push(async { drop(store.get(&entry).await) }.boxed().fuse());
            begun.push(async { drop(store.list(Namespace::USER, "", None, 10).await) }.boxed().fuse());
        }
        for _ in 0..polls {
            for request in &mut begun {
                let _ = request.now_or_never();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let others = async {
            fill(&*store, &stream("other"), 1).await;
            assert_eq!(read(&*store, &to).await.len(), 1100);
            assert!(store.get(&entry).await.unwrap().is_none());
        };
        let limit = Duration::from_secs(20);
        assert!(timeout(limit, others).await.is_ok(), "other requests wait, after {polls} polls");
    }
}

/// An archived stream is read as before; of an erased one only its name is known.
pub async fn archived_streams_are_read_and_erased_ones_are_gone(h: &dyn Harness) {
    let store = h.open().await;
    let (archived, erased) = (stream("archived"), stream("erased"));
    let kept = fill(&*store, &archived, 3).await;
    fill(&*store, &erased, 3).await;
    let last = fill(&*store, &stream("last"), 1).await;
    let head = store.head().await.unwrap();
    store.archive(&archived).await.unwrap();
    store.erase(&erased).await.unwrap();
    assert_eq!(read(&*store, &archived).await, kept);
    for limit in [None, Some(0)] {
        let gone = collect_stream(&*store, ReadStream { limit, ..ReadStream::new(erased.clone()) }).await;
        assert!(matches!(&gone, Err(StoreError::StreamErased { stream }) if *stream == erased), "{gone:?}");
    }
    assert_eq!(everything(&*store).await, [kept, last].concat());
    assert_eq!(store.head().await.unwrap(), head, "erasing takes no position back");
}

/// Another instance reads an acknowledged append at once: in its stream, in the whole store, and in the head.
pub async fn an_instance_reads_at_once_what_another_acknowledged(h: &dyn Harness) {
    let instances = instances(h).await;
    for n in 0..scaled(h, 50) {
        let (writer, reader) = (&*instances[n % 2], &*instances[(n + 1) % 2]);
        let appended = add(writer, &stream("s"), event()).await;
        assert_eq!(read(reader, &stream("s")).await.len(), n + 1);
        assert_eq!(everything(reader).await.len(), n + 1);
        assert_eq!(reader.head().await.unwrap(), appended.position);
    }
}

fn options() -> impl Iterator<Item = (Direction, Option<u64>)> {
    let limits = [None, Some(0), Some(1), Some(3), Some(100), Some(u64::MAX)];
    DIRECTIONS.into_iter().flat_map(move |direction| limits.map(|limit| (direction, limit)))
}

fn choose(
    all: &[RecordedEvent],
    wanted: impl Fn(&RecordedEvent) -> bool,
    direction: Direction,
    limit: Option<u64>,
) -> Vec<RecordedEvent> {
    let mut chosen: Vec<_> = all.iter().filter(|event| wanted(event)).cloned().collect();
    if direction == Direction::Backward {
        chosen.reverse();
    }
    chosen.truncate(usize::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX));
    chosen
}

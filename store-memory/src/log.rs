//! The events, stream by stream and all together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use recount_core::{
    Append, AppendCondition, AppendError, Appended, CONFLICT_EVENTS, Conflict, Direction, EventAt, EventId,
    ExpectedVersion, Idempotency, IdempotencyKey, KeyedSlice, NamedAppend, Position, Query, RecordedEvent, StoreError,
    StreamAppend, StreamAppended, StreamId, StreamVersion, Timestamp, Violation,
};
use tokio::sync::watch;

use crate::clock;
use crate::index::{Indexes, Places};

#[derive(Default)]
pub(crate) struct Log {
    /// The event at position `index + 1`; none where it was erased.
    events: Vec<Option<Arc<RecordedEvent>>>,
    streams: HashMap<StreamId, Stream>,
    indexes: Indexes,
    ids: HashSet<EventId>,
    appends: HashMap<IdempotencyKey, NamedAppend>,
    /// The keys of the appends, and when they were recorded, in this order: a clock that is set back stands still.
    recorded_keys: VecDeque<(Timestamp, IdempotencyKey)>,
    head: Head,
}

#[derive(Clone, Default)]
struct Stream {
    /// Where the event of version `index + 1` is.
    places: Places,
    status: Status,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Open,
    Archived,
    Erased,
}

/// Tells watchers the head; nothing once the store is closed.
struct Head(Option<watch::Sender<Position>>);

impl Default for Head {
    fn default() -> Self {
        Self(Some(watch::Sender::new(Position::START)))
    }
}

/// An append with its events in the form that the log keeps, made before the log is locked.
pub(crate) struct Prepared {
    streams: Vec<PreparedStream>,
    condition: Option<AppendCondition>,
    idempotency: Option<Idempotency>,
    slices: Vec<KeyedSlice>,
    recorded_at: Timestamp,
}

struct PreparedStream {
    stream: StreamId,
    expected: ExpectedVersion,
    /// Without their places.
    events: Vec<Arc<RecordedEvent>>,
}

impl Prepared {
    pub(crate) fn new(append: Append) -> Self {
        let Append { streams, condition, idempotency, slices } = append;
        let recorded_at = clock::now();
        let prepare = |StreamAppend { stream, expected, events }| {
            let (position, version) = (Position::START, StreamVersion::EMPTY);
            let record =
                |data| Arc::new(RecordedEvent { position, stream: stream.clone(), version, recorded_at, data });
            PreparedStream { events: mapped(events, record), stream, expected }
        };
        Self { streams: mapped(streams, prepare), condition, idempotency, slices, recorded_at }
    }
}

impl Stream {
    fn version(&self) -> StreamVersion {
        StreamVersion::new(self.places.len() as u64)
    }
}

impl Log {
    pub(crate) fn head(&self) -> Position {
        Position::new(self.events.len() as u64)
    }

    /// Looks up the event at a position.
    pub(crate) fn event_at(&self, position: Position) -> EventAt {
        let place = position.get().checked_sub(1).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| self.events.get(place)) {
            Some(Some(event)) => EventAt::Event(event.data.id),
            Some(None) => EventAt::Erased,
            None => EventAt::Nothing,
        }
    }

    /// The same events, without watchers.
    pub(crate) fn copy(&self) -> Self {
        Self {
            events: self.events.clone(),
            streams: self.streams.clone(),
            indexes: self.indexes.clone(),
            ids: self.ids.clone(),
            appends: self.appends.clone(),
            recorded_keys: self.recorded_keys.clone(),
            head: Head::default(),
        }
    }

    /// Replaces the content by that of another log, and keeps the watchers.
    pub(crate) fn replace(&mut self, other: Self) {
        let head = std::mem::replace(self, other);
        self.head = head.head;
    }

    /// Whether the indexes suffice for this query; otherwise they must be brought [up to date](Self::index).
    pub(crate) fn answers(&self, query: &Query) -> bool {
        self.indexes.suffice(query, self.events.len())
    }

    /// Brings the indexes up to date. Plain appends leave them behind; an operation that needs them calls this.
    pub(crate) fn index(&mut self) {
        self.indexes.catch_up(&self.events);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Position> {
        match &self.head.0 {
            Some(head) => {
                // Appends don't update the head while it has no receiver.
                head.send_if_modified(|known| {
                    *known = self.head();
                    false
                });
                head.subscribe()
            }
            // The store is closed: return a receiver without a sender, so that it ends at once.
            None => watch::channel(self.head()).1,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.head.0.is_none()
    }

    pub(crate) fn close(&mut self) {
        self.head.0 = None;
    }

    pub(crate) fn find_append(&self, key: &IdempotencyKey) -> Option<NamedAppend> {
        self.appends.get(key).cloned()
    }

    /// Forgets the oldest keys, at most `limit`, of those that were recorded at least this long ago.
    pub(crate) fn forget_keys(&mut self, older_than: Duration, limit: usize) -> u64 {
        let Some(until) = clock::now().checked_sub(older_than).ok() else { return 0 };
        let mut forgotten = 0;
        while forgotten < limit as u64
            && let Some((recorded_at, _)) = self.recorded_keys.front()
            && *recorded_at <= until
            && let Some((_, key)) = self.recorded_keys.pop_front()
        {
            self.appends.remove(&key);
            forgotten += 1;
        }
        forgotten
    }

    fn record_key(&mut self, recorded_at: Timestamp, key: IdempotencyKey, outcome: NamedAppend) {
        let newest = self.recorded_keys.back().map_or(recorded_at, |(newest, _)| recorded_at.max(*newest));
        self.recorded_keys.push_back((newest, key.clone()));
        self.appends.insert(key, outcome);
    }

    /// Appends a valid request: first every check, of which that of the ids comes last and notes them, then the writes, none of which
    /// can fail.
    pub(crate) fn append(&mut self, append: Prepared) -> Result<Appended, AppendError> {
        if let Some(named) = &append.idempotency
            && let Some(first) = self.find_append(&named.key)
        {
            return first.repeat(named);
        }
        let keys = append.slices.iter().map(|slice| &slice.idempotency.key);
        let keys: Vec<_> = keys.filter(|key| self.appends.contains_key(*key)).cloned().collect();
        if !keys.is_empty() {
            return Err(AppendError::KeysKnown { keys });
        }
        if append.condition.is_some() {
            self.index();
        }
        let violations = self.violations(&append);
        if !violations.is_empty() {
            return Err(Conflict { violations }.into());
        }
        self.take_ids(&append)?;
        let before = self.head();
        let (named, slices, recorded_at) = (append.idempotency, append.slices, append.recorded_at);
        let streams = mapped(append.streams, |stream| self.write(stream));
        let head = self.head();
        let position = if head > before { head } else { Position::START };
        let appended = Appended { position, streams, repeated: false };
        if let Some(named) = named {
            let outcome = NamedAppend { digest: named.digest, appended: appended.clone() };
            self.record_key(recorded_at, named.key, outcome);
        }
        for slice in slices {
            if let Some(outcome) = slice.outcome(&appended) {
                self.record_key(recorded_at, slice.idempotency.key, outcome);
            }
        }
        if let Some(watchers) = &self.head.0
            && head > before
            && watchers.receiver_count() > 0
        {
            watchers.send_replace(head);
        }
        Ok(appended)
    }

    /// Notes the ids of all events, or none if one of them is known.
    fn take_ids(&mut self, append: &Prepared) -> Result<(), AppendError> {
        let ids = || append.streams.iter().flat_map(|stream| &stream.events).map(|event| event.data.id);
        for (index, id) in ids().enumerate() {
            if !self.ids.insert(id) {
                for taken in ids().take(index) {
                    self.ids.remove(&taken);
                }
                return Err(AppendError::DuplicateEvent { id });
            }
        }
        Ok(())
    }

    fn violations(&self, append: &Prepared) -> Vec<Violation> {
        let mut violations: Vec<_> = append.streams.iter().filter_map(|append| self.violation(append)).collect();
        if let Some(condition) = &append.condition {
            let last = self
                .candidates(&condition.fail_if, condition.after, Position::MAX, Direction::Backward)
                .find(|event| condition.fail_if.matches(event));
            violations.extend(last.map(|event| Violation::Condition { position: event.position }));
        }
        violations
    }

    fn violation(&self, append: &PreparedStream) -> Option<Violation> {
        let PreparedStream { stream, expected, .. } = append;
        let (expected, found) = (*expected, self.streams.get(stream));
        match found.map(|found| found.status) {
            Some(Status::Archived) => return Some(Violation::Archived { stream: stream.clone() }),
            Some(Status::Erased) => return Some(Violation::Erased { stream: stream.clone() }),
            Some(Status::Open) | None => {}
        }
        let actual = found.map_or(StreamVersion::EMPTY, Stream::version);
        if expected.accepts(actual) {
            return None;
        }
        let newer = match (expected, found) {
            (ExpectedVersion::Exact(version), Some(found)) => {
                let newer = found.places.iter().skip(usize::try_from(version.get()).unwrap_or(usize::MAX));
                newer.take(CONFLICT_EVENTS).filter_map(|place| self.event(*place)).map(|e| (**e).clone()).collect()
            }
            _ => Vec::new(),
        };
        Some(Violation::Version { stream: stream.clone(), expected, actual, newer })
    }

    fn write(&mut self, append: PreparedStream) -> StreamAppended {
        let PreparedStream { stream, events, .. } = append;
        let count = events.len() as u64;
        if count == 0 {
            let version = self.streams.get(&stream).map_or(StreamVersion::EMPTY, Stream::version);
            return StreamAppended { version, stream, count };
        }
        // Only a new stream needs a copy of its name.
        let entry = match self.streams.get_mut(&stream) {
            Some(entry) => entry,
            None => self.streams.entry(stream.clone()).or_default(),
        };
        for mut event in events {
            let place = self.events.len();
            entry.places.push(place);
            // It was made for this and is not shared yet.
            let recorded = Arc::make_mut(&mut event);
            recorded.position = Position::new(place as u64 + 1);
            recorded.version = entry.version();
            self.events.push(Some(event));
        }
        StreamAppended { version: entry.version(), stream, count }
    }

    pub(crate) fn archive(&mut self, stream: &StreamId) -> Result<(), StoreError> {
        self.existing(stream)?;
        self.streams.entry(stream.clone()).or_default().status = Status::Archived;
        Ok(())
    }

    pub(crate) fn erase(&mut self, stream: &StreamId) -> Result<(), StoreError> {
        let found = self.streams.get_mut(stream).ok_or_else(|| not_found(stream))?;
        found.status = Status::Erased;
        for place in std::mem::take(&mut found.places) {
            // The other indexes keep the place: readers skip places without an event.
            if let Some(event) = self.events.get_mut(place).and_then(Option::take) {
                self.ids.remove(&event.data.id);
            }
        }
        Ok(())
    }

    fn existing(&self, stream: &StreamId) -> Result<&Stream, StoreError> {
        match self.streams.get(stream) {
            None => Err(not_found(stream)),
            Some(found) if found.status == Status::Erased => Err(StoreError::StreamErased { stream: stream.clone() }),
            Some(found) => Ok(found),
        }
    }

    /// The events of an existing stream with these versions, both inclusive.
    pub(crate) fn versions(
        &self,
        stream: &StreamId,
        from: u64,
        to: u64,
    ) -> Result<impl DoubleEndedIterator<Item = &Arc<RecordedEvent>>, StoreError> {
        let places = &self.existing(stream)?.places;
        let end = usize::try_from(to).unwrap_or(usize::MAX).min(places.len());
        let start = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX).min(end);
        Ok(places[start..end].iter().filter_map(|place| self.event(*place)))
    }

    /// Events between two positions (`after` exclusive, `to` inclusive), once each and in order, among which are all
    /// that the query selects, if the indexes [suffice](Self::answers).
    pub(crate) fn candidates(
        &self,
        query: &Query,
        after: Position,
        to: Position,
        direction: Direction,
    ) -> impl Iterator<Item = &Arc<RecordedEvent>> {
        let end = usize::try_from(to.get()).unwrap_or(usize::MAX).min(self.events.len());
        let start = usize::try_from(after.get()).unwrap_or(usize::MAX).min(end);
        self.indexes.candidates(query, start, end, direction).filter_map(|place| self.event(place))
    }

    fn event(&self, place: usize) -> Option<&Arc<RecordedEvent>> {
        self.events.get(place).and_then(Option::as_ref)
    }
}

/// What becomes of each, in memory of its own: to collect them would shrink what they leave, for which allocators lock more.
fn mapped<T, U>(all: Vec<T>, map: impl FnMut(T) -> U) -> Vec<U> {
    let mut mapped = Vec::with_capacity(all.len());
    mapped.extend(all.into_iter().map(map));
    mapped
}

fn not_found(stream: &StreamId) -> StoreError {
    StoreError::StreamNotFound { stream: stream.clone() }
}

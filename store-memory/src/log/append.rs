//! Appends: the preparation before the log is locked, the checks, and the writes.

use std::sync::Arc;

use recount_core::{
    Append, AppendCondition, AppendError, Appended, CONFLICT_EVENTS, Conflict, Direction, ExpectedVersion, Idempotency,
    KeyedSlice, Position, RecordedEvent, StreamAppend, StreamAppended, StreamId, StreamVersion, Timestamp, Violation,
};

use super::{Log, Status, Stream};
use crate::clock;

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

impl Log {
    /// Appends a valid request: first every check, of which that of the ids comes last and notes them, then the writes, none of which
    /// can fail.
    pub(crate) fn append(&mut self, append: Prepared) -> Result<Appended, AppendError> {
        if let Some(named) = &append.idempotency
            && let Some(first) = self.find_append(&named.key)
        {
            return first.repeat(named);
        }
        let keys = append.slices.iter().map(|slice| &slice.idempotency.key);
        let keys: Vec<_> = keys.filter(|key| self.keys.contains(key)).cloned().collect();
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
            self.keys.record(recorded_at, named.key, named.digest, &appended);
        }
        for slice in slices {
            if let Some(outcome) = slice.outcome(&appended) {
                self.keys.record(recorded_at, slice.idempotency.key, outcome.digest, &outcome.appended);
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
}

/// Maps each element into a new allocation: `collect` would reuse and shrink the old one, for which allocators lock more.
fn mapped<T, U>(all: Vec<T>, map: impl FnMut(T) -> U) -> Vec<U> {
    let mut mapped = Vec::with_capacity(all.len());
    mapped.extend(all.into_iter().map(map));
    mapped
}

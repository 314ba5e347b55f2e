//! Plans the writes of a batch of work, in memory and in order: each piece sees the planned writes of earlier ones.

use std::collections::HashMap;

use recount_core::{
    Append, AppendError, Appended, Conflict, EventData, IdempotencyKey, NamedAppend, Position, RecordedEvent, Revision,
    StateError, StateKey, StoreError, StreamAppend, StreamAppended, StreamId, StreamVersion, Timestamp, Violation,
};
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::kinds::Kind;
use crate::ledger::{Counters, Head, Ledger, StreamState};
use crate::query::last_match;
use crate::request::StateChange;
use crate::{outcome, state};

/// The file's data about the names that a batch mentions, changed along with the plan.
#[derive(Default)]
pub(crate) struct Known {
    /// A stream that isn't there was looked for and doesn't exist.
    pub(crate) heads: HashMap<StreamId, Head>,
    pub(crate) appends: HashMap<IdempotencyKey, NamedAppend>,
    pub(crate) state: HashMap<StateKey, state::Held>,
}

/// An event to insert.
pub(crate) struct EventRow<'a> {
    pub(crate) position: Position,
    pub(crate) stream: i64,
    pub(crate) stream_id: &'a StreamId,
    pub(crate) version: StreamVersion,
    pub(crate) kind: i64,
    pub(crate) data: &'a EventData,
}

/// The value to store under a key, or none to delete it.
pub(crate) type StateRow<'a> = Option<(&'a [u8], i64, Option<i64>)>;

/// Everything that a batch writes.
pub(crate) struct Plan<'a> {
    pub(crate) known: Known,
    pub(crate) counters: Counters,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<EventRow<'a>>,
    pub(crate) streams: Vec<(i64, &'a StreamId)>,
    pub(crate) kinds: Vec<(i64, Kind)>,
    pub(crate) appends: Vec<(&'a IdempotencyKey, Uuid, String)>,
    pub(crate) state: HashMap<&'a StateKey, StateRow<'a>>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(known: Known, ledger: &Ledger) -> Self {
        let now = Timestamp::now();
        Self {
            known,
            counters: ledger.counters,
            // As it will be read back.
            now: Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now),
            events: Vec::new(),
            streams: Vec::new(),
            kinds: Vec::new(),
            appends: Vec::new(),
            state: HashMap::new(),
        }
    }

    /// Adds an append, or finds why it can't be. The outer error is the database's and ends the batch.
    pub(crate) async fn append(
        &mut self,
        append: &'a Append,
        ledger: &Ledger,
        connection: &mut SqliteConnection,
    ) -> Result<Result<Appended, AppendError>, StoreError> {
        if let Some(named) = &append.idempotency
            && let Some(first) = self.known.appends.get(&named.key)
        {
            return Ok(first.clone().repeat(named));
        }
        let keys = append.slices.iter().map(|slice| &slice.idempotency.key);
        let keys: Vec<_> = keys.filter(|key| self.known.appends.contains_key(*key)).cloned().collect();
        if !keys.is_empty() {
            return Ok(Err(AppendError::KeysKnown { keys }));
        }
        let mut violations: Vec<_> = append.streams.iter().filter_map(|append| self.violation(append)).collect();
        if let Some(condition) = &append.condition {
            let planned =
                self.events.iter().rev().find(|row| {
                    row.position > condition.after && condition.fail_if.matches_data(row.stream_id, row.data)
                });
            let last = match planned {
                Some(row) => Some(row.position),
                None => last_match(&condition.fail_if, condition.after, &ledger.kinds, connection).await?,
            };
            violations.extend(last.map(|position| Violation::Condition { position }));
        }
        if !violations.is_empty() {
            return Ok(Err(Conflict { violations }.into()));
        }
        if let Err(error) = self.fits(append) {
            return Ok(Err(error.into()));
        }
        self.write(append, ledger).map(Ok)
    }

    fn violation(&self, append: &StreamAppend) -> Option<Violation> {
        let stream = append.stream.clone();
        let head = self.known.heads.get(&stream);
        match head.map(|head| head.state) {
            Some(StreamState::Archived) => return Some(Violation::Archived { stream }),
            Some(StreamState::Erased) => return Some(Violation::Erased { stream }),
            Some(StreamState::Open) | None => {}
        }
        let actual = head.map_or(StreamVersion::EMPTY, |head| head.version);
        let expected = append.expected;
        // The caller's task reads the newer events: the writer has better things to do.
        (!expected.accepts(actual)).then(|| Violation::Version { stream, expected, actual, newer: Vec::new() })
    }

    /// Whether all places that the append takes exist.
    fn fits(&self, append: &Append) -> Result<(), StoreError> {
        let exhausted = |what: String| StoreError::Exhausted { what };
        for part in &append.streams {
            let version = self.known.heads.get(&part.stream).map_or(StreamVersion::EMPTY, |head| head.version);
            let next = version.checked_add(part.events.len() as u64);
            next.ok_or_else(|| exhausted(format!("the version of stream {}", part.stream)))?;
        }
        let next = self.counters.position.checked_add(append.event_count() as u64);
        next.ok_or_else(|| exhausted("the position of the store".into()))?;
        let new = i64::try_from(append.streams.len()).unwrap_or(i64::MAX);
        self.counters.stream.checked_add(new).ok_or_else(|| exhausted("the number of streams".into()))?;
        let new = i64::try_from(append.event_count()).unwrap_or(i64::MAX);
        self.counters.kind.checked_add(new).ok_or_else(|| exhausted("the number of kinds of events".into()))?;
        Ok(())
    }

    /// Adds the rows of an append that was found to go through.
    fn write(&mut self, append: &'a Append, ledger: &Ledger) -> Result<Appended, StoreError> {
        let mut streams = Vec::with_capacity(append.streams.len());
        for part in &append.streams {
            let mut head = match self.known.heads.get(&part.stream) {
                Some(head) => *head,
                None if part.events.is_empty() => {
                    let stream = part.stream.clone();
                    streams.push(StreamAppended { stream, version: StreamVersion::EMPTY, count: 0 });
                    continue;
                }
                None => {
                    self.counters.stream += 1;
                    self.streams.push((self.counters.stream, &part.stream));
                    Head { id: self.counters.stream, version: StreamVersion::EMPTY, state: StreamState::Open }
                }
            };
            for data in &part.events {
                head.version = head.version.next();
                self.counters.position = self.counters.position.next();
                let kind = self.kind(part.stream.category(), data, ledger);
                self.events.push(EventRow {
                    position: self.counters.position,
                    stream: head.id,
                    stream_id: &part.stream,
                    version: head.version,
                    kind,
                    data,
                });
            }
            self.known.heads.insert(part.stream.clone(), head);
            streams.push(StreamAppended {
                stream: part.stream.clone(),
                version: head.version,
                count: part.events.len() as u64,
            });
        }
        let position = if append.event_count() > 0 { self.counters.position } else { Position::START };
        let appended = Appended { position, streams, repeated: false };
        if let Some(named) = &append.idempotency {
            self.name(&named.key, NamedAppend { digest: named.digest, appended: appended.clone() })?;
        }
        for slice in &append.slices {
            if let Some(outcome) = slice.outcome(&appended) {
                self.name(&slice.idempotency.key, outcome)?;
            }
        }
        Ok(appended)
    }

    /// Records an outcome under its key.
    fn name(&mut self, key: &'a IdempotencyKey, outcome: NamedAppend) -> Result<(), StoreError> {
        self.appends.push((key, outcome.digest, outcome::encode(&outcome.appended)?));
        self.known.appends.insert(key.clone(), outcome);
        Ok(())
    }

    fn kind(&mut self, category: &str, data: &EventData, ledger: &Ledger) -> i64 {
        let version = data.schema_version;
        if let Some(id) = ledger.kinds.find(category, &data.event_type, version) {
            return id;
        }
        let same = |kind: &Kind| {
            *kind.category == *category && kind.event_type == data.event_type && kind.schema_version == version
        };
        if let Some((id, _)) = self.kinds.iter().find(|(_, kind)| same(kind)) {
            return *id;
        }
        self.counters.kind += 1;
        let kind = Kind { category: category.into(), event_type: data.event_type.clone(), schema_version: version };
        self.kinds.push((self.counters.kind, kind));
        self.counters.kind
    }

    /// Adds writes to different entries of the state, or finds why they can't be.
    pub(crate) fn state(&mut self, changes: &'a [StateChange]) -> Result<Vec<Revision>, StateError> {
        changes.iter().try_for_each(|change| self.expect(change))?;
        let writes = changes.iter().filter(|change| change.value.is_some()).count();
        let room = i64::try_from(writes).ok().and_then(|writes| self.counters.revision.checked_add(writes));
        room.ok_or_else(|| StoreError::Exhausted { what: "the revision of the state".into() })?;
        Ok(changes.iter().map(|change| self.change(change)).collect())
    }

    fn held(&self, key: &StateKey) -> Option<Revision> {
        let now = self.now.as_microsecond();
        self.known.state.get(key).filter(|held| !held.is_expired(now)).map(|held| held.revision)
    }

    fn expect(&self, change: &StateChange) -> Result<(), StateError> {
        let (expected, actual) = (change.expected, self.held(&change.key));
        if expected.accepts(actual) {
            return Ok(());
        }
        Err(StateError::Mismatch { key: change.key.clone(), expected, actual })
    }

    /// Adds a write that is as expected.
    fn change(&mut self, change: &'a StateChange) -> Revision {
        let Some((value, time_to_live)) = &change.value else {
            let actual = self.held(&change.key);
            self.known.state.remove(&change.key);
            self.state.insert(&change.key, None);
            return actual.unwrap_or(Revision(0));
        };
        self.counters.revision += 1;
        let (now, revision) = (self.now.as_microsecond(), self.counters.revision);
        let expires_at = time_to_live
            .map(|time_to_live| now.saturating_add(i64::try_from(time_to_live.as_micros()).unwrap_or(i64::MAX)));
        let held = state::Held { revision: Revision(revision.cast_unsigned()), expires_at };
        self.known.state.insert(change.key.clone(), held);
        self.state.insert(&change.key, Some((value, revision, expires_at)));
        held.revision
    }
}

impl EventRow<'_> {
    /// The event as it will be read back.
    pub(crate) fn recorded(&self, recorded_at: Timestamp) -> RecordedEvent {
        RecordedEvent {
            position: self.position,
            stream: self.stream_id.clone(),
            version: self.version,
            recorded_at,
            data: self.data.clone(),
        }
    }
}

//! The events, stream by stream and all together.

use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use recount_core::{
    Direction, EventAt, EventId, IdempotencyKey, NamedAppend, Position, Query, RecordedEvent, StoreError, StreamId,
    StreamVersion,
};
use tokio::sync::watch;

use crate::clock;
use crate::index::{Indexes, Places};
use crate::keys::Keys;

mod append;

pub(crate) use append::Prepared;

#[derive(Default)]
pub(crate) struct Log {
    /// The event at position `index + 1`; none where it was erased.
    events: Vec<Option<Arc<RecordedEvent>>>,
    streams: HashMap<StreamId, Stream>,
    indexes: Indexes,
    ids: HashSet<EventId>,
    keys: Keys,
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
            keys: self.keys.clone(),
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
        self.keys.get(key)
    }

    /// Forgets the oldest keys, at most `limit`, of those that were recorded at least this long ago.
    pub(crate) fn forget_keys(&mut self, older_than: Duration, limit: usize) -> u64 {
        let Some(until) = clock::now().checked_sub(older_than).ok() else { return 0 };
        self.keys.forget(until, limit as u64)
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

fn not_found(stream: &StreamId) -> StoreError {
    StoreError::StreamNotFound { stream: stream.clone() }
}

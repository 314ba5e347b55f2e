//! Requests to read from a store, and the stream of events.

use std::pin::Pin;

use futures_util::Stream;

use crate::{Position, Query, RecordedEvent, StoreError, StreamId, StreamVersion};

/// A stream of events as they are read: pulled by the consumer, in bounded memory. It borrows nothing from the store.
///
/// After an error the stream ends. Dropping it ends the read at any point.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<RecordedEvent, StoreError>> + Send>>;

/// Which way to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// A request to read one stream. Bounds hold in either direction: `from` is always the lower one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadStream {
    /// The stream.
    pub stream: StreamId,
    /// The lowest version wanted, inclusive.
    pub from: StreamVersion,
    /// The highest version wanted, inclusive.
    pub to: StreamVersion,
    /// Which end comes first.
    pub direction: Direction,
    /// How many events at most.
    pub limit: Option<u64>,
}

impl ReadStream {
    /// The whole stream, oldest first.
    #[must_use]
    pub fn new(stream: StreamId) -> Self {
        Self { stream, from: StreamVersion::EMPTY, to: StreamVersion::MAX, direction: Direction::Forward, limit: None }
    }

    /// Only the events after this version.
    #[must_use]
    pub fn after(mut self, version: StreamVersion) -> Self {
        self.from = version.next();
        self
    }
}

/// A request to read the whole store. Bounds hold in either direction: `after` is always the lower one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAll {
    /// Which events.
    pub query: Query,
    /// Only events behind this position, exclusive.
    pub after: Position,
    /// Only events up to this position, inclusive.
    pub to: Position,
    /// Which end comes first.
    pub direction: Direction,
    /// How many events at most.
    pub limit: Option<u64>,
}

impl ReadAll {
    /// Every event that the query selects, oldest first.
    #[must_use]
    pub fn new(query: Query) -> Self {
        Self { query, after: Position::START, to: Position::MAX, direction: Direction::Forward, limit: None }
    }
}

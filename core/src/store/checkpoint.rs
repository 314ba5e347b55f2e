//! Checkpoints: the progress of a reader, and the store that it reads.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventId, Position, RecordedEvent};

/// Identifies one store: drawn when the store is created, kept for its lifetime, and copied by backups of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreId(pub Uuid);

impl StoreId {
    /// The id of a store that is being created.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "every call gives another value")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Identifies the filter of a consumer: equal [filters](crate::Filter) have equal ids, in every program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilterId(pub Uuid);

impl FilterId {
    /// Marks the checkpoint of a projection that was ordered to start over. No projection has this filter, so each
    /// runner notices the order when it compares checkpoints.
    pub const REBUILD: Self = Self(Uuid::from_u128(0x7265_636f_756e_742d_7265_6275_696c_6421));
}

/// The progress of a reader: it has handled everything up to `position`.
///
/// It also names the store and the event at that position, so that a reader notices a store that was restored to an
/// earlier state, failed over to a replica that lacks the last events, or exchanged for another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last position that was handled; `START` before the first event.
    pub position: Position,
    /// The store that the position belongs to. `None`: not recorded, so not compared.
    pub store: Option<StoreId>,
    /// The event at the position. `None`: not recorded, or erased since; then not compared.
    pub event: Option<EventId>,
    /// The id of the reader's filter. `None`: not recorded. Consumers compare it, subscriptions don't.
    #[serde(default)]
    pub filter: Option<FilterId>,
}

impl Checkpoint {
    /// Before the first event of any store.
    pub const START: Self = Self { position: Position::START, store: None, event: None, filter: None };

    /// The checkpoint of a reader that has handled everything up to this event of this store.
    #[must_use]
    pub const fn at(event: &RecordedEvent, store: StoreId) -> Self {
        Self { position: event.position, store: Some(store), event: Some(event.data.id), filter: None }
    }
}

/// The content of a position: the answer of [`EventStore::event_at`](crate::EventStore::event_at).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventAt {
    /// The event with this id.
    Event(EventId),
    /// No event, but an erased stream reached at least this far, so it may have had one here.
    Erased,
    /// No event, and none was erased here: the position is a gap, or lies behind the store's last event.
    Nothing,
}

/// A position without store and event: it can only be compared with the store's head.
impl From<Position> for Checkpoint {
    fn from(position: Position) -> Self {
        Self { position, ..Self::START }
    }
}

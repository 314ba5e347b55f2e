//! Reads a store from a checkpoint on, and checks that the store still has the events that were read.
//!
//! A store may go back in time between any two of its answers: a backup is restored, a replica takes over. So
//! * the first event after a wait is delivered only over a store that has the last known event;
//! * positions behind the last selected event count as read only if the store had the same event at the last of them before
//!   and after the read. Event ids are unique, so the read saw that history.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::history::compare;
use super::subscription::LOOK;
use crate::store::in_time;
use crate::{Checkpoint, EventAt, EventId, EventStream, Position, Query, ReadAll, RecordedEvent, Store, StoreError};

/// How long the store may take to tell its head, or the event at a position.
const PATIENCE: Duration = Duration::from_secs(30);

/// The reader of a subscription.
pub(super) struct Follower {
    pub(super) store: Arc<dyn Store>,
    reader: String,
    query: Query,
    /// Everything up to here was delivered, or is not selected.
    pub(super) at: Checkpoint,
    /// The event that a comparison looks for in the store. Behind it only unselected events were read.
    pub(super) known: Checkpoint,
    /// Whether the query selects the known event.
    selected: bool,
    /// Whether the known event must be found again before the next delivery.
    unproven: bool,
    /// Whether the newest event was not selected the last time.
    expects_tail: bool,
    /// The event at the head of the present read, once it was asked for; none if the position holds none.
    newest: Option<Option<EventId>>,
    /// The time of the last comparison. `None`: a comparison must precede the next read.
    compared: Option<Instant>,
}

impl Follower {
    pub(super) fn new(store: Arc<dyn Store>, reader: String, query: Query, after: Checkpoint) -> Self {
        Self {
            store,
            reader,
            query,
            at: after,
            known: after,
            selected: false,
            unproven: true,
            expects_tail: true,
            newest: None,
            compared: None,
        }
    }

    /// The head to read up to. Compares the store with the last known event at the start, after a failure, if the head
    /// is behind, and each second.
    pub(super) async fn head(&mut self, told: Position) -> Result<Position, StoreError> {
        let first = self.compared.is_none();
        if self.is_due() {
            self.compare().await?;
        }
        // The head of the wake-up is new enough, except at the start, where it may lag behind.
        if told > self.at.position && !first {
            return Ok(told);
        }
        let head = in_time(PATIENCE, "head", self.store.head()).await?;
        if head < self.at.position {
            self.compare().await?;
        }
        Ok(head)
    }

    /// Notes that time has passed since the last read.
    pub(super) fn has_waited(&mut self) {
        self.unproven = true;
    }

    /// Notes a failure: the next answer may come from another server, or from a restored backup.
    pub(super) fn was_interrupted(&mut self) {
        (self.compared, self.unproven) = (None, true);
    }

    /// Whether the next comparison with the store is due.
    fn is_due(&self) -> bool {
        self.compared.is_none_or(|last| last.elapsed() >= LOOK)
    }

    /// Fails if the store lacks events that were read.
    async fn compare(&mut self) -> Result<(), StoreError> {
        let id = self.event_of(&self.known).await?;
        self.known.event = self.known.event.or(id);
        if self.known.position < self.at.position
            && let Some(id) = self.event_of(&self.at).await?
        {
            self.at.event = Some(id);
            (self.known, self.selected) = (self.at, false);
        }
        self.compared = Some(Instant::now());
        Ok(())
    }

    async fn event_of(&self, checkpoint: &Checkpoint) -> Result<Option<EventId>, StoreError> {
        in_time(PATIENCE, "event_at", compare(&*self.store, &self.reader, checkpoint)).await
    }

    /// Whether a read can begin at the last delivered event, so that it compares the store without another request.
    fn can_repeat(&self) -> bool {
        self.selected && self.known.position == self.at.position
    }

    /// A read of the selected events up to `head`.
    pub(super) fn read(&self, to: Position) -> EventStream {
        let at = self.at.position;
        let after = if self.unproven && self.can_repeat() { Position::new(at.get() - 1) } else { at };
        self.store.read_all(ReadAll { after, to, ..ReadAll::new(self.query.clone()) })
    }

    /// Takes an event of a read. Returns it if it is to be delivered.
    pub(super) async fn accept(
        &mut self,
        event: Result<RecordedEvent, StoreError>,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        let event = event?;
        let repeats = event.position == self.at.position && Some(event.data.id) == self.known.event;
        if self.unproven && self.can_repeat() && repeats {
            self.unproven = false;
        } else if self.unproven || self.is_due() {
            // The store may have lost the events that were read, also behind the last delivered one.
            self.compare().await?;
            self.unproven = false;
        }
        if event.position <= self.at.position {
            return Ok(None);
        }
        (self.at.position, self.at.event) = (event.position, Some(event.data.id));
        (self.known, self.selected) = (self.at, true);
        Ok(Some(event))
    }

    /// Asks for the event at the head before a read, where the newest event is likely not selected.
    pub(super) async fn expect_newest(&mut self, head: Position) -> Result<(), StoreError> {
        self.newest = None;
        if self.expects_tail {
            self.newest = self.event_at(head).await?;
        }
        Ok(())
    }

    /// Notes that a read up to `head` has ended. Returns whether everything up to there was read; if not, it is to be read
    /// again behind the last event.
    pub(super) async fn has_read_up_to(&mut self, head: Position) -> Result<bool, StoreError> {
        if self.unproven && self.can_repeat() {
            // The known event did not come again.
            self.compare().await?;
            self.unproven = false;
        }
        self.expects_tail = self.at.position < head;
        if !self.expects_tail {
            return Ok(true);
        }
        let Some(newest) = self.event_at(head).await? else {
            // The events that the wake-up told of are gone, and none of them was read.
            self.compare().await?;
            return Ok(true);
        };
        if self.newest != Some(newest) {
            self.newest = Some(newest);
            return Ok(false);
        }
        (self.at.position, self.at.event) = (head, newest);
        Ok(true)
    }

    /// The event at this position, none if it holds none; `None` if the store ends before it.
    async fn event_at(&self, position: Position) -> Result<Option<Option<EventId>>, StoreError> {
        let found = async {
            Ok(match self.store.event_at(position).await? {
                EventAt::Event(id) => Some(Some(id)),
                EventAt::Erased => Some(None),
                EventAt::Nothing => (self.store.head().await? >= position).then_some(None),
            })
        };
        in_time(PATIENCE, "event_at", found).await
    }
}

//! The requests of callers to the writer tasks.

use std::collections::HashSet;
use std::time::Instant;

use recount_core::{Append, AppendError, Appended, IdempotencyKey, QueryItem, StoreError, Tag};
use tokio::sync::oneshot;

pub(crate) enum Request {
    Append(Work),
    /// Finish all earlier requests, then stop.
    Close,
}

/// An append and where its answer goes. A caller that went away is not answered. Its append is written wholly or not at
/// all.
pub(crate) struct Work {
    pub(crate) append: Append,
    pub(crate) reply: oneshot::Sender<Result<Appended, AppendError>>,
    /// When it joined the queue, if waits are recorded.
    pub(crate) since: Option<Instant>,
}

impl Work {
    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        const EVENT: usize = 256;
        let events = self.append.streams.iter().flat_map(|stream| &stream.events);
        events.map(|event| EVENT + event.payload.len()).sum()
    }

    pub(crate) fn answer(self, outcome: Result<Appended, AppendError>) {
        drop(self.reply.send(outcome));
    }

    pub(crate) fn fail(self, error: StoreError) {
        self.answer(Err(error.into()));
    }
}

/// The one tag of an item that its condition locks: all events that the item selects carry it.
pub(crate) fn guard(item: &QueryItem) -> Option<&Tag> {
    // The longest is likely the rarest.
    item.tags.iter().max_by_key(|tag| tag.as_str().len())
}

/// The tags and keys that the appends of one batch must not have in common, because the database decides on a whole
/// batch at once.
#[derive(Default)]
pub(crate) struct Footprint {
    requests: usize,
    written: HashSet<Tag>,
    guarded: HashSet<Tag>,
    keys: HashSet<IdempotencyKey>,
    alone: bool,
}

impl Footprint {
    /// Adds the append, unless it must be decided after those that are there.
    pub(crate) fn admit(&mut self, append: &Append) -> bool {
        let items = append.condition.iter().flat_map(|condition| &condition.fail_if.items);
        let guards: Vec<Option<&Tag>> = items.map(guard).collect();
        let alone = guards.iter().any(Option::is_none);
        let tags = || append.streams.iter().flat_map(|part| &part.events).flat_map(|event| &event.tags);
        if self.requests > 0 {
            let clash = alone
                || self.alone
                || append.keys().any(|key| self.keys.contains(key))
                || guards.iter().flatten().any(|tag| self.written.contains(*tag))
                || (!self.guarded.is_empty() && tags().any(|tag| self.guarded.contains(tag)));
            if clash {
                return false;
            }
        }
        self.requests += 1;
        self.alone |= alone;
        self.written.extend(tags().cloned());
        self.guarded.extend(guards.into_iter().flatten().cloned());
        self.keys.extend(append.keys().cloned());
        true
    }
}

//! The unit of order: a lane, or a key where the broker orders by keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::members::MemberId;
use super::stored::Stored;

/// The name of a slot: a lane, or a key of the only lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlotKey {
    pub(super) lane: u32,
    pub(super) key: Option<Arc<str>>,
}

/// A message of a group that is not settled yet.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) message: Arc<Stored>,
    /// Its place among the messages of the group.
    pub(super) rank: u64,
    /// How often it was delivered, as far as the broker still knows.
    pub(super) deliveries: u32,
    /// It is not delivered before.
    pub(super) not_before: Option<Instant>,
    /// Whether further deliveries may have been forgotten.
    pub(super) recovered: bool,
}

/// The messages of a lane or key.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The deliverable messages, by rank.
    pub(super) ready: BTreeMap<u64, Entry>,
    /// The messages that are out: rank and tag.
    pub(super) out: BTreeMap<u64, u64>,
    /// The messages acknowledged behind an open one, with cumulative acknowledgements.
    pub(super) done: BTreeMap<u64, Entry>,
    /// The member that has something out.
    pub(super) holder: Option<MemberId>,
    /// The rank under which it is listed as deliverable.
    pub(super) listed: Option<u64>,
    /// The time at which it becomes deliverable.
    pub(super) waiting: Option<Instant>,
}

impl Slot {
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.out.is_empty() && self.done.is_empty()
    }

    /// The lowest rank that is not acknowledged.
    pub(super) fn lowest_open(&self) -> Option<u64> {
        let ready = self.ready.first_key_value().map(|(rank, _)| *rank);
        let out = self.out.first_key_value().map(|(rank, _)| *rank);
        ready.into_iter().chain(out).min()
    }

    /// Takes the acknowledged messages below everything open.
    pub(super) fn take_committed(&mut self) -> Vec<Entry> {
        let open = match self.lowest_open() {
            Some(lowest) => self.done.split_off(&lowest),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut self.done, open).into_values().collect()
    }
}

//! The messages of a lane between the server and the caller: waiting ones, those handed out, and entries of which a part is
//! settled.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::lane::{Arrival, Place};

/// The messages of a lane.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Messages that came and were not handed out, in the order of the partition. A released one returns to its place.
    ready: BTreeMap<Place, Box<Arrival>>,
    /// Messages that were handed out, by the ticket's tag.
    open: HashMap<u64, Box<Arrival>>,
    /// The tag of each of these.
    tags: BTreeMap<Place, u64>,
    /// Batches of which a part is settled. The server takes acknowledgements of whole entries.
    parts: HashMap<(u64, u64), BTreeSet<i32>>,
}

impl Ledger {
    /// Takes in a message that came. After a reconnect the server sends everything again that is not acknowledged: a
    /// message that waits is kept, and the ticket of a message that is out becomes stale.
    pub(crate) fn arrive(&mut self, arrival: Box<Arrival>) {
        let place = arrival.place;
        if self.parts.get(&entry(place)).is_some_and(|settled| settled.contains(&place.2)) {
            return;
        }
        if let Some(tag) = self.tags.remove(&place) {
            self.open.remove(&tag);
        }
        self.ready.entry(place).or_insert(arrival);
    }

    /// The size of the next message.
    pub(crate) fn next_size(&self) -> Option<usize> {
        self.ready.first_key_value().map(|(_, arrival)| arrival.body.len())
    }

    /// Hands out the next message with this tag.
    pub(crate) fn hand_out(&mut self, tag: u64) -> Option<&Arrival> {
        let (place, arrival) = self.ready.pop_first()?;
        self.tags.insert(place, tag);
        Some(self.open.entry(tag).or_insert(arrival))
    }

    /// Whether the delivery with this tag is out.
    pub(crate) fn is_open(&self, tag: u64) -> bool {
        self.open.contains_key(&tag)
    }

    /// Settles the delivery for good. Returns the entry if all of it is settled.
    pub(crate) fn settle(&mut self, tag: u64) -> Option<(u64, u64)> {
        let arrival = self.take(tag)?;
        let entry = entry(arrival.place);
        if arrival.batch_size > 1 {
            let settled = self.parts.entry(entry).or_default();
            settled.insert(arrival.place.2);
            if settled.len() < arrival.batch_size {
                return None;
            }
            self.parts.remove(&entry);
        }
        Some(entry)
    }

    /// Lets the delivery wait again, at its place.
    pub(crate) fn release(&mut self, tag: u64) {
        if let Some(arrival) = self.take(tag) {
            self.ready.insert(arrival.place, arrival);
        }
    }

    /// Gives the delivery up, and returns its entry, unless the entry has other messages: then it waits again.
    pub(crate) fn give_back(&mut self, tag: u64) -> Option<(u64, u64)> {
        if self.open.get(&tag)?.batch_size > 1 {
            self.release(tag);
            return None;
        }
        self.take(tag).map(|arrival| entry(arrival.place))
    }

    fn take(&mut self, tag: u64) -> Option<Box<Arrival>> {
        let arrival = self.open.remove(&tag)?;
        self.tags.remove(&arrival.place);
        Some(arrival)
    }

    /// Forgets everything, and returns how many deliveries were out.
    pub(crate) fn clear(&mut self) -> usize {
        std::mem::take(self).open.len()
    }
}

fn entry((ledger, entry, _): Place) -> (u64, u64) {
    (ledger, entry)
}

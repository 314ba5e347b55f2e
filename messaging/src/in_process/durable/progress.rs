//! The messages that a group has settled, and the entries that say so.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use recount_core::{BoxError, StateKey, StatePut, Timestamp};

use super::entries::GroupEntry;
use super::names;
use crate::Binding;
use crate::entries::put;

/// How many messages one entry tells of.
const CHUNK: u64 = 1024;
/// The bytes of a chunk: a bit for each message.
const CHUNK_BYTES: usize = (CHUNK / 8) as usize;

/// A bit for each message of a range: whether it is settled.
type Chunk = [u8; CHUNK_BYTES];

/// The progress of a group, and its changes that are not yet on their way to the store.
#[derive(Debug)]
pub(in crate::in_process) struct Progress {
    binding: Binding,
    /// The messages below are settled.
    first: u64,
    chunks: BTreeMap<u64, Chunk>,
    changed: BTreeSet<u64>,
    /// Whether `first` has changed.
    moved: bool,
    /// New dead letters.
    dead: Vec<u64>,
    /// Messages that come again after a time.
    delayed: Vec<(u64, Duration)>,
    garbage: Vec<StateKey>,
}

impl Progress {
    /// The progress of a new group, which gets the messages from this number on.
    pub(in crate::in_process) fn new(binding: Binding, first: u64) -> Self {
        Self {
            binding,
            first,
            chunks: BTreeMap::new(),
            changed: BTreeSet::new(),
            moved: true,
            dead: Vec::new(),
            delayed: Vec::new(),
            garbage: Vec::new(),
        }
    }

    /// The progress of a stored group.
    pub(super) fn read(binding: Binding, first: u64) -> Self {
        Self { moved: false, ..Self::new(binding, first) }
    }

    /// Takes over a stored chunk. A chunk below the first open message is garbage.
    pub(super) fn read_chunk(&mut self, number: u64, bytes: &[u8]) -> bool {
        let Ok(chunk) = Chunk::try_from(bytes) else { return false };
        if (number + 1).saturating_mul(CHUNK) <= self.first {
            self.discard(names::SETTLED, number);
        } else {
            self.chunks.insert(number, chunk);
        }
        true
    }

    /// The first message that is open, or may be.
    pub(in crate::in_process) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn is_settled(&self, sequence: u64) -> bool {
        let (number, byte, bit) = place(sequence);
        sequence < self.first || self.chunks.get(&number).is_some_and(|chunk| chunk[byte] & bit != 0)
    }

    /// The group has settled a message.
    pub(in crate::in_process) fn settle(&mut self, sequence: u64) {
        if sequence < self.first {
            return;
        }
        let (number, byte, bit) = place(sequence);
        self.chunks.entry(number).or_insert([0; CHUNK_BYTES])[byte] |= bit;
        self.changed.insert(number);
        self.advance();
    }

    /// Moves the first open message past the chunks that are settled.
    fn advance(&mut self) {
        loop {
            let number = self.first / CHUNK;
            let Some(chunk) = self.chunks.get(&number) else { return };
            let end = (number + 1) * CHUNK;
            let is_open = |sequence: u64| {
                let (_, byte, bit) = place(sequence);
                chunk[byte] & bit == 0
            };
            if (self.first..end).rev().any(is_open) {
                return;
            }
            self.chunks.remove(&number);
            self.changed.remove(&number);
            self.discard(names::SETTLED, number);
            (self.first, self.moved) = (end, true);
        }
    }

    /// The group gets a message again that it has settled.
    pub(in crate::in_process) fn reopen(&mut self, sequence: u64) {
        if !self.is_settled(sequence) {
            return;
        }
        if sequence < self.first {
            for settled in sequence..self.first {
                let (number, byte, bit) = place(settled);
                self.chunks.entry(number).or_insert([0; CHUNK_BYTES])[byte] |= bit;
                self.changed.insert(number);
            }
            (self.first, self.moved) = (sequence, true);
        }
        let (number, byte, bit) = place(sequence);
        self.chunks.entry(number).or_insert([0; CHUNK_BYTES])[byte] &= !bit;
        self.changed.insert(number);
    }

    /// A message is a dead letter.
    pub(in crate::in_process) fn bury(&mut self, sequence: u64) {
        self.dead.push(sequence);
    }

    /// A dead letter is dropped.
    pub(in crate::in_process) fn exhume(&mut self, sequence: u64) {
        self.discard(names::DEAD, sequence);
    }

    /// A message comes again after this time.
    pub(in crate::in_process) fn delay(&mut self, sequence: u64, after: Duration) {
        if !after.is_zero() {
            self.delayed.push((sequence, after));
        }
    }

    /// The writes that remove the group, and the entries that are not needed afterwards. The chunks are emptied first: a
    /// group that is declared again under this name must not take them for its own.
    pub(super) fn into_removal(mut self) -> (Vec<StatePut>, Vec<StateKey>) {
        let (topic, group) = (self.binding.topic.name(), self.binding.group.name());
        let chunks =
            self.chunks.keys().filter_map(|number| names::of_group(names::SETTLED, topic, group, *number).ok());
        let chunks: Vec<StateKey> = chunks.collect();
        let puts = chunks.iter().map(|key| put(key.clone(), Bytes::from_static(&[0; CHUNK_BYTES]))).collect();
        self.garbage.extend(names::group(topic, group));
        self.garbage.extend(chunks);
        (puts, self.garbage)
    }

    fn discard(&mut self, kind: &str, number: u64) {
        self.garbage.extend(names::of_group(kind, self.binding.topic.name(), self.binding.group.name(), number));
    }

    /// The entries that are not needed any more.
    pub(super) fn take_garbage(&mut self) -> Vec<StateKey> {
        std::mem::take(&mut self.garbage)
    }

    /// The entries that have changed since the last call.
    pub(super) fn take_changes(&mut self, now: Timestamp) -> Result<Vec<StatePut>, BoxError> {
        let (topic, group) = (Arc::<str>::from(self.binding.topic.name()), self.binding.group.clone());
        let of_group = |kind, number| names::of_group(kind, &topic, group.name(), number);
        let mut puts = Vec::new();
        if std::mem::take(&mut self.moved) {
            let value = serde_json::to_vec(&GroupEntry::new(&self.binding, self.first))?;
            puts.push(put(names::group(&topic, group.name())?, value.into()));
        }
        for number in std::mem::take(&mut self.changed) {
            if let Some(chunk) = self.chunks.get(&number) {
                puts.push(put(of_group(names::SETTLED, number)?, Bytes::copy_from_slice(chunk)));
            }
        }
        for sequence in std::mem::take(&mut self.dead) {
            puts.push(put(of_group(names::DEAD, sequence)?, Bytes::new()));
        }
        for (sequence, after) in std::mem::take(&mut self.delayed) {
            let due = now.checked_add(after).unwrap_or(Timestamp::MAX);
            let entry = put(of_group(names::DELAYED, sequence)?, due.to_string().into());
            puts.push(StatePut { time_to_live: Some(after), ..entry });
        }
        Ok(puts)
    }
}

/// The chunk of a message, and its byte and bit there.
fn place(sequence: u64) -> (u64, usize, u8) {
    let bit = sequence % CHUNK;
    (sequence / CHUNK, usize::try_from(bit / 8).unwrap_or_default(), 1 << (bit % 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Group, Topic};

    fn progress(first: u64) -> Progress {
        Progress::new(Binding::new(Topic::new("t").unwrap(), Group::new("g").unwrap()), first)
    }

    fn keys(progress: &mut Progress) -> Vec<String> {
        let puts = progress.take_changes(Timestamp::UNIX_EPOCH).unwrap();
        puts.into_iter().map(|put| put.key.name().to_owned()).collect()
    }

    #[test]
    fn full_chunks_become_a_number() {
        let mut progress = progress(3);
        assert_eq!(keys(&mut progress), ["group/t/g"]);
        (4..3 * CHUNK).for_each(|sequence| progress.settle(sequence));
        assert!(!progress.is_settled(3) && progress.is_settled(4) && progress.is_settled(2));
        assert_eq!(keys(&mut progress).len(), 3);
        progress.settle(3);
        assert_eq!((progress.first, progress.chunks.len()), (3 * CHUNK, 0));
        assert_eq!(keys(&mut progress), ["group/t/g"]);
        assert_eq!(progress.take_garbage().len(), 3);
    }

    #[test]
    fn a_message_that_comes_again_is_open() {
        let mut progress = progress(2 * CHUNK + 10);
        progress.reopen(CHUNK + 5);
        progress.reopen(CHUNK + 7);
        let open: Vec<_> = (0..3 * CHUNK).filter(|sequence| !progress.is_settled(*sequence)).collect();
        let expected = [CHUNK + 5, CHUNK + 7].into_iter().chain(2 * CHUNK + 10..3 * CHUNK);
        assert!(open.into_iter().eq(expected));
        progress.settle(CHUNK + 5);
        progress.settle(CHUNK + 7);
        assert!(progress.is_settled(2 * CHUNK + 9) && !progress.is_settled(2 * CHUNK + 10));
    }
}

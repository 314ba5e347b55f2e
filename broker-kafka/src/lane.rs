//! One partition of a consumer: its queue in the library, and the records that are not finished.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaResult;
use rdkafka::message::BorrowedMessage;
use recount_messaging::LaneId;

use crate::rebalance::Events;
use crate::record::Record;
use crate::window::Window;

/// A record that is not finished.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) record: Record,
    /// Whether it was given out before.
    pub(crate) repeated: bool,
}

/// A partition that this consumer has.
pub(crate) struct Lane {
    pub(crate) id: LaneId,
    /// Of its tickets.
    pub(crate) generation: u32,
    queue: PartitionQueue<Events>,
    /// Released, or without room. They come before the records of the queue.
    waiting: BTreeMap<i64, Held>,
    /// Given out and not settled.
    out: Window<Held>,
    /// The offset behind the last record that came. `None`: the position of the group must not be touched.
    position: Option<i64>,
    /// The greatest timestamp of the records that came, in milliseconds.
    latest: Option<i64>,
    /// The position that the server has.
    pub(crate) committed: Option<i64>,
    /// Whether it goes to another member.
    pub(crate) leaves: bool,
    /// Whether a seek is under way, and no record is given out.
    pub(crate) seeking: bool,
    max_gap: i64,
    gap_told: bool,
}

impl Lane {
    pub(crate) fn new(id: LaneId, generation: u32, queue: PartitionQueue<Events>, max_gap: u32) -> Self {
        Self {
            id,
            generation,
            queue,
            waiting: BTreeMap::new(),
            out: Window::new(),
            position: None,
            latest: None,
            committed: None,
            leaves: false,
            seeking: false,
            max_gap: max_gap.into(),
            gap_told: false,
        }
    }

    /// The next record, if one is there. The lane starts over in a new generation if its log is another one.
    pub(crate) fn next(&mut self, generations: &mut u32) -> Option<KafkaResult<Held>> {
        if self.seeking {
            return None;
        }
        if let Some((_, held)) = self.waiting.pop_first() {
            return Some(Ok(held));
        }
        if self.is_stuck() {
            return None;
        }
        match self.queue.poll(Duration::ZERO)? {
            Ok(native) => {
                let record = Record::read(&native);
                drop(native);
                self.accept(record, generations).map(Ok)
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn accept(&mut self, record: Record, generations: &mut u32) -> Option<Held> {
        if let Some(position) = self.position.filter(|position| record.offset < *position) {
            // The library may repeat records after it has connected anew.
            if record.timestamp <= self.latest {
                return None;
            }
            tracing::warn!(lane = %self.id, position, offset = record.offset, "the partition has new messages before its position: its topic was created anew, or its log was cut");
            *generations = generations.wrapping_add(1);
            self.start_over(*generations);
        }
        self.position = Some(record.offset + 1);
        self.latest = self.latest.max(record.timestamp);
        Some(Held { record, repeated: false })
    }

    /// Keeps a record that came by another queue.
    pub(crate) fn receive(&mut self, native: &BorrowedMessage<'_>, generations: &mut u32) {
        if let Some(held) = self.accept(Record::read(native), generations) {
            self.put_back(held);
        }
    }

    /// Whether too many records came behind an open one.
    fn is_stuck(&mut self) -> bool {
        let Some((finished, position)) = self.finished().zip(self.position) else { return false };
        let stuck = position - finished >= self.max_gap;
        if stuck && !self.gap_told {
            tracing::warn!(lane = %self.id, offset = finished, "the partition is not read on: its message at this offset is not settled, and too many messages came behind it");
        }
        self.gap_told = stuck;
        stuck
    }

    /// Keeps a record for later.
    pub(crate) fn put_back(&mut self, held: Held) {
        self.waiting.insert(held.record.offset, held);
    }

    /// Notes that a record is given out.
    pub(crate) fn give_out(&mut self, held: Held) {
        self.out.insert(held.record.offset, held);
    }

    /// Takes back a record that was given out in this generation.
    pub(crate) fn settle(&mut self, offset: i64) -> Option<Held> {
        self.out.remove(offset)
    }

    /// Takes back all records that are given out.
    pub(crate) fn take_all_back(&mut self) {
        self.waiting.extend(self.out.drain());
    }

    pub(crate) fn is_out(&self, offset: i64) -> bool {
        self.out.contains(offset)
    }

    /// Whether a record is given out.
    pub(crate) fn is_any_out(&self) -> bool {
        self.out.first().is_some()
    }

    /// How many records are not finished.
    pub(crate) fn count_open(&self) -> usize {
        self.out.len() + self.waiting.len()
    }

    /// The offset below which every record that came is finished.
    pub(crate) fn finished(&self) -> Option<i64> {
        let waiting = self.waiting.first_key_value().map(|(offset, _)| *offset);
        [self.out.first(), waiting, self.position].into_iter().flatten().min()
    }

    /// The position to commit, if the server has another one.
    pub(crate) fn to_commit(&self) -> Option<i64> {
        self.position.and(self.finished()).filter(|finished| self.committed != Some(*finished))
    }

    /// Forgets all records, because others will come from now on.
    pub(crate) fn start_over(&mut self, generation: u32) {
        self.generation = generation;
        self.waiting.clear();
        self.out = Window::new();
        (self.position, self.latest, self.committed) = (None, None, None);
    }
}

//! The outcomes of appends under idempotency keys.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use recount_core::{Appended, IdempotencyKey, NamedAppend, Position, StreamAppended, Timestamp};
use uuid::Uuid;

/// The outcomes in the order in which they were recorded, and a table of their places.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    recorded: VecDeque<Recorded>,
    /// How many were forgotten: the number of the first one in the queue.
    forgotten: u64,
    /// The hash of each key and the number of its outcome. A table that grows needs neither the keys nor the outcomes.
    table: HashTable<(u64, u64)>,
    hasher: RandomState,
}

#[derive(Clone)]
struct Recorded {
    at: Timestamp,
    key: IdempotencyKey,
    digest: Uuid,
    position: Position,
    streams: Streams,
}

/// Most appends have one stream, which needs no memory of its own.
#[derive(Clone)]
enum Streams {
    One(StreamAppended),
    Others(Box<[StreamAppended]>),
}

impl Recorded {
    fn outcome(&self) -> NamedAppend {
        let streams = match &self.streams {
            Streams::One(stream) => vec![stream.clone()],
            Streams::Others(streams) => streams.to_vec(),
        };
        NamedAppend { digest: self.digest, appended: Appended { position: self.position, streams, repeated: false } }
    }
}

impl Keys {
    pub(crate) fn get(&self, key: &IdempotencyKey) -> Option<NamedAppend> {
        let (_, number) = self.table.find(self.hash(key), |place| self.is(*place, key))?;
        self.numbered(*number).map(Recorded::outcome)
    }

    pub(crate) fn contains(&self, key: &IdempotencyKey) -> bool {
        self.table.find(self.hash(key), |place| self.is(*place, key)).is_some()
    }

    /// Records the outcome of a key that has none. A clock that is set back stands still.
    pub(crate) fn record(&mut self, at: Timestamp, key: IdempotencyKey, digest: Uuid, appended: &Appended) {
        let at = self.recorded.back().map_or(at, |newest| at.max(newest.at));
        let streams = match appended.streams.as_slice() {
            [stream] => Streams::One(stream.clone()),
            streams => Streams::Others(streams.into()),
        };
        let (hash, number) = (self.hash(&key), self.forgotten + self.recorded.len() as u64);
        self.table.insert_unique(hash, (hash, number), |(hash, _)| *hash);
        self.recorded.push_back(Recorded { at, key, digest, position: appended.position, streams });
    }

    /// Forgets the oldest keys that were recorded until this moment, at most `limit`. Returns how many.
    pub(crate) fn forget(&mut self, until: Timestamp, limit: u64) -> u64 {
        let before = self.forgotten;
        while self.forgotten - before < limit
            && let Some(oldest) = self.recorded.pop_front_if(|oldest| oldest.at <= until)
        {
            let number = self.forgotten;
            if let Ok(entry) = self.table.find_entry(self.hash(&oldest.key), |place| place.1 == number) {
                entry.remove();
            }
            self.forgotten += 1;
        }
        self.forgotten - before
    }

    fn hash(&self, key: &IdempotencyKey) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Whether a place is that of a key with the same hash.
    fn is(&self, (_, number): (u64, u64), key: &IdempotencyKey) -> bool {
        self.numbered(number).is_some_and(|recorded| recorded.key == *key)
    }

    fn numbered(&self, number: u64) -> Option<&Recorded> {
        self.recorded.get(usize::try_from(number - self.forgotten).ok()?)
    }
}

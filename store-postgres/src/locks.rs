//! The locks that an append takes before it reads: one for each name that it depends on.

use std::collections::BTreeMap;

use recount_core::{IdempotencyKey, StreamId, Tag};

use crate::schema::{Lock, Schema};

/// With more than this, lock everything: the database's room for locks is limited.
const MAX_LOCKS: usize = 1000;

/// Advisory locks in the one lock order of all appends, and whether each lock is exclusive or shared.
pub(crate) struct Locks<'s> {
    schema: &'s Schema,
    locks: BTreeMap<i64, bool>,
}

impl<'s> Locks<'s> {
    pub(crate) fn new(schema: &'s Schema) -> Self {
        Self { schema, locks: BTreeMap::new() }
    }

    /// A stream that is written to.
    pub(crate) fn stream(&mut self, stream: &StreamId) {
        self.locks.insert(self.schema.stream_lock(stream), true);
    }

    pub(crate) fn key(&mut self, key: &IdempotencyKey) {
        self.locks.insert(self.schema.lock(Lock::Key, key.as_str()), true);
    }

    /// A tag that a condition asks about.
    pub(crate) fn guarded(&mut self, tag: &Tag) {
        self.locks.insert(self.schema.lock(Lock::Tag, tag.as_str()), true);
    }

    /// A tag that an event is written with.
    pub(crate) fn tag(&mut self, tag: &str) {
        self.locks.entry(self.schema.lock(Lock::Tag, tag)).or_insert(false);
    }

    pub(crate) fn too_many(&self) -> bool {
        self.locks.len() > MAX_LOCKS
    }

    /// As the database takes them: which of them are against everybody is left out if all are.
    pub(crate) fn columns(self) -> (Vec<i64>, Option<Vec<bool>>) {
        let (locks, exclusive): (_, Vec<_>) = self.locks.into_iter().unzip();
        let mixed = exclusive.contains(&false);
        (locks, mixed.then_some(exclusive))
    }
}

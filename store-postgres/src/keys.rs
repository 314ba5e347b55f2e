//! The idempotency keys of [plain](crate::plain) appends. Their outcomes are known before the append, apart from the
//! position.

use recount_core::{Append, ExpectedVersion, Idempotency, StreamAppend, StreamAppended, StreamVersion};
use uuid::Uuid;

use crate::outcome;
use crate::statement::Statement;

/// The keys of several appends as columns.
#[derive(Default)]
pub(crate) struct Keys<'a> {
    /// The index of the append in the call, from 1; 0 for an outcome without events.
    append: Vec<i32>,
    name: Vec<&'a str>,
    digest: Vec<Uuid>,
    outcome: Vec<String>,
}

impl<'a> Keys<'a> {
    /// Adds the keys of an append to one stream, which has this index in the call.
    ///
    /// Returns `None` if an outcome depends on the stream: the append accepts several versions.
    pub(crate) fn add(&mut self, append: &'a Append, part: &StreamAppend, index: i32) -> Option<()> {
        if append.keys().next().is_none() {
            return Some(());
        }
        let head = match part.expected {
            ExpectedVersion::NoStream => StreamVersion::EMPTY,
            ExpectedVersion::Exact(version) => version,
            ExpectedVersion::Any | ExpectedVersion::StreamExists => return None,
        };
        let whole = append.idempotency.iter().map(|named| (named, 0..part.events.len()));
        let slices = append.slices.iter().map(|slice| (&slice.idempotency, slice.events.clone()));
        for (Idempotency { key, digest }, events) in whole.chain(slices) {
            let (end, count) = (u64::try_from(events.end).ok()?, u64::try_from(events.len()).ok()?);
            let version = StreamVersion::new(head.get().checked_add(end)?);
            let outcome = StreamAppended { stream: part.stream.clone(), version, count };
            self.append.push(if events.is_empty() { 0 } else { index });
            self.name.push(key.as_str());
            self.digest.push(*digest);
            self.outcome.push(outcome::encode(&outcome)?);
        }
        Some(())
    }

    /// Adds the arguments, in this order; NULL if there are no keys.
    pub(crate) fn bind(self, statement: Statement) -> Statement {
        let any = !self.name.is_empty();
        let statement = statement.bind(any.then_some(self.append)).bind(any.then_some(self.name));
        statement.bind(any.then_some(self.digest)).bind(any.then_some(self.outcome))
    }
}

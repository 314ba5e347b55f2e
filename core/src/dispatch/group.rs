//! The decisions of several commands for one aggregate, and the append that records them.

use std::mem::take;

use foldhash::HashSet;

use super::queue::Job;
use super::turn::encode;
use super::warm::Warm;
use super::{DispatchError, Receipt};
use crate::{
    Aggregate, Append, Apply, EventData, ExpectedVersion, Idempotency, IdempotencyKey, KeyedSlice, MAX_EVENTS,
    MAX_PAYLOAD, Metadata, Position, StreamId, StreamVersion,
};

/// The outcome of a command of the group, if the append succeeds.
enum Decided<A: Aggregate> {
    Events(Vec<A::Event>),
    Not(DispatchError<A::Error>),
    /// It can't share an append.
    Alone,
}

/// The decisions of several commands for one aggregate, and the append that records them.
pub(super) struct Group<A: Aggregate> {
    decided: Vec<Decided<A>>,
    data: Vec<EventData>,
    /// The outcomes of the commands that have idempotency keys.
    slices: Vec<KeyedSlice>,
    keys: HashSet<IdempotencyKey>,
    /// The size of all payloads in bytes.
    size: usize,
    /// The state after all commands.
    pub(super) after: Warm<A>,
}

impl<A: Apply> Group<A> {
    pub(super) fn new(after: Warm<A>, jobs: usize) -> Self {
        let (decided, data) = (Vec::with_capacity(jobs), Vec::with_capacity(jobs));
        Self { decided, data, slices: Vec::new(), keys: HashSet::default(), size: 0, after }
    }

    /// Whether there is nothing to record.
    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.slices.is_empty()
    }

    /// Takes the append out of the group. Returns `None` if there is nothing to record.
    pub(super) fn append(&mut self, stream: &StreamId, version: StreamVersion) -> Option<Append> {
        if self.is_empty() {
            return None;
        }
        let append = Append::to(stream.clone(), ExpectedVersion::Exact(version), take(&mut self.data));
        Some(Append { slices: take(&mut self.slices), ..append })
    }

    /// Adds the outcome of the next command.
    pub(super) fn add(
        &mut self,
        outcome: Result<Vec<A::Event>, A::Error>,
        metadata: &Metadata,
        idempotency: Option<&Idempotency>,
    ) {
        let decided = match outcome {
            // An earlier attempt may have succeeded: look up the key.
            Err(_) if idempotency.is_some() => Decided::Alone,
            Err(error) => Decided::Not(DispatchError::Rejected(error)),
            Ok(_) if idempotency.is_some_and(|named| self.keys.contains(&named.key)) => Decided::Alone,
            Ok(events) => match encode(&events, metadata) {
                Err(_) if idempotency.is_some() => Decided::Alone,
                Err(error) => Decided::Not(error.into()),
                Ok(data) => self.take(events, data, idempotency),
            },
        };
        self.decided.push(decided);
    }

    fn take(&mut self, events: Vec<A::Event>, data: Vec<EventData>, idempotency: Option<&Idempotency>) -> Decided<A> {
        let more: usize = data.iter().map(|event| event.payload.len()).sum();
        if self.size + more > MAX_PAYLOAD || self.data.len() + data.len() > MAX_EVENTS {
            return Decided::Alone;
        }
        self.size += more;
        let start = self.data.len();
        self.data.extend(data);
        if let Some(named) = idempotency {
            let slice = KeyedSlice { idempotency: named.clone(), stream: 0, events: start..self.data.len() };
            self.keys.insert(named.key.clone());
            self.slices.push(slice);
        }
        self.after.take(&events);
        Decided::Events(events)
    }

    /// Answers each caller with its receipt and the state after its own command. Returns the state after all commands.
    pub(super) fn answer(self, jobs: &mut Vec<Job<A>>, mut warm: Warm<A>, position: Option<Position>) -> Warm<A> {
        for (job, decided) in jobs.drain(..).zip(self.decided) {
            match decided {
                Decided::Events(events) => {
                    warm.take(&events);
                    let position = position.filter(|_| !events.is_empty());
                    let receipt = Receipt { version: warm.version, position, events, repeated: false };
                    job.caller.answer(Ok((receipt, &warm.state)));
                }
                Decided::Not(error) => job.caller.answer(Err(error)),
                Decided::Alone => job.caller.go_alone(),
            }
        }
        self.after
    }
}

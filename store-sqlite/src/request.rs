//! The requests of callers to the writer task.

use std::time::Duration;

use bytes::Bytes;
use recount_core::{
    Append, AppendError, Appended, ExpectedRevision, Revision, StateError, StateKey, StoreError, StreamId,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Where the answer goes. A caller that went away is not answered; its request is done or not, never half.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A request, as it waits for the writer.
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// When the caller began to wait.
    pub(crate) since: Instant,
}

/// The requested operation.
pub(crate) enum Request {
    /// Work that shares a transaction with other waiting work.
    Shared(Work),
    /// Work that gets a transaction of its own. The answer is the number of keys that were forgotten.
    Alone(Task, Reply<u64, StoreError>),
    /// Do the earlier requests, then stop.
    Close,
}

pub(crate) enum Work {
    Append(Append, Reply<Appended, AppendError>),
    /// Changes to different entries, all or none.
    State(Vec<StateChange>, Reply<Vec<Revision>, StateError>),
}

pub(crate) enum Task {
    Archive(StreamId),
    Erase(StreamId),
    ForgetKeys { older_than: Duration, limit: usize },
    Health,
}

/// A write to one entry of the state.
pub(crate) struct StateChange {
    pub(crate) key: StateKey,
    pub(crate) expected: ExpectedRevision,
    /// The value and its time to live; none to delete the entry.
    pub(crate) value: Option<(Bytes, Option<Duration>)>,
}

/// How a piece of work ended.
pub(crate) enum Answer {
    Append(Result<Appended, AppendError>),
    State(Result<Vec<Revision>, StateError>),
}

impl Work {
    /// About how much memory and disk it takes.
    pub(crate) fn bytes(&self) -> usize {
        const EVENT: usize = 256;
        match self {
            Self::Append(append, _) => {
                let events = append.streams.iter().flat_map(|stream| &stream.events);
                events.map(|event| EVENT + event.payload.len()).sum()
            }
            Self::State(changes, _) => {
                let values = changes.iter().map(|change| change.value.as_ref());
                values.map(|value| EVENT + value.map_or(0, |(value, _)| value.len())).sum()
            }
        }
    }

    /// Whether its caller has stopped waiting.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::Append(_, reply) => reply.is_closed(),
            Self::State(_, reply) => reply.is_closed(),
        }
    }

    pub(crate) fn answer(self, answer: Answer) {
        match (self, answer) {
            (Self::Append(_, reply), Answer::Append(outcome)) => drop(reply.send(outcome)),
            (Self::State(_, reply), Answer::State(outcome)) => drop(reply.send(outcome)),
            (Self::Append(..), Answer::State(_)) | (Self::State(..), Answer::Append(_)) => {}
        }
    }

    pub(crate) fn fail(self, error: StoreError) {
        match self {
            Self::Append(_, reply) => drop(reply.send(Err(error.into()))),
            Self::State(_, reply) => drop(reply.send(Err(error.into()))),
        }
    }
}

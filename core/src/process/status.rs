//! Processes as data, read from the store: no runner is needed, nor the types of the process.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;
use serde::Serialize;

use super::desk::{ledger_of, request_key};
use super::ledger::{Ledger, Mode};
use super::record::{Record, RedriveRecord, RequestId, ResolvedRecord};
use crate::store::RESERVED;
use crate::{
    Append, AppendError, BoxError, ExpectedVersion, Position, Query, ReadAll, Store, StoreError, StreamId, Timestamp,
};

/// The processes of a store: their instances, and orders to those that can't go on.
#[derive(Clone)]
pub struct Processes {
    store: Arc<dyn Store>,
}

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstanceState {
    /// Inputs are held until the instance starts.
    Held,
    /// It waits for inputs, or for the outcomes of its commands.
    Running,
    /// The same, with a timer set.
    Waiting,
    /// Its effects are being undone.
    Compensating,
    /// The command that undoes an effect was refused: an operator must redrive or resolve it.
    Stuck,
    /// An input, timer or command failed: an operator must redrive it.
    Parked,
    /// It ended.
    Ended,
    /// Everything that took effect was undone.
    Compensated,
}

/// An instance of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceStatus {
    /// The id of the instance.
    pub id: String,
    /// The state.
    pub state: InstanceState,
    /// The version of its stream.
    pub version: u64,
    /// The position of the last input that a step was taken on.
    pub last_input: Position,
    /// The positions of inputs that are held until it starts.
    pub held: Vec<Position>,
    /// The timers that are set.
    pub timers: Vec<TimerStatus>,
    /// The requests of its steps, in order.
    pub requests: Vec<RequestStatus>,
    /// The reason why it can't go on.
    pub trouble: Option<Trouble>,
}

/// A timer that is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimerStatus {
    /// The stored form of the timer.
    pub timer: String,
    /// When it is due, by the store's clock.
    pub due: Timestamp,
}

/// A request of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestStatus {
    /// The id.
    pub id: RequestId,
    /// The command, as `aggregate.command`. `None` for an undo without a command.
    pub command: Option<String>,
    /// The command that undoes it.
    pub undo: Option<String>,
    /// The outcome of the command.
    pub outcome: RequestOutcome,
    /// Whether it is undone, or needs no undo any more.
    pub undone: bool,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestOutcome {
    /// There is none yet.
    Open,
    /// It took effect.
    TookEffect,
    /// It was accepted, and changed nothing.
    Unchanged,
    /// It was refused.
    Refused,
    /// It was withdrawn before it took effect.
    Withdrawn,
}

/// Why an instance can't go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The position of the input or step that failed; `None` if an undo was refused.
    pub position: Option<Position>,
    /// The request whose undo was refused.
    pub request: Option<RequestId>,
    /// The error.
    pub error: String,
}

/// How many instances of a process are in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names of the states")]
pub struct ProcessSummary {
    pub held: u64,
    pub running: u64,
    pub waiting: u64,
    pub compensating: u64,
    pub stuck: u64,
    pub parked: u64,
    pub ended: u64,
    pub compensated: u64,
}

impl Processes {
    /// The processes of this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// An instance, with the outcome of each of its requests. `None` if there is no such instance.
    ///
    /// # Errors
    /// The store fails, or holds records of a newer version of recount.
    pub async fn instance(&self, process: &str, id: &str) -> Result<Option<InstanceStatus>, BoxError> {
        let stream = StreamId::new(process, id)?;
        let Some(ledger) = ledger_of(&*self.store, &stream).await? else { return Ok(None) };
        let mut status = InstanceStatus::of(id, &ledger);
        for (request, (_, settled)) in status.requests.iter_mut().zip(&ledger.requests) {
            if request.outcome == RequestOutcome::Open && request.command.is_some() {
                request.outcome = self.outcome(&stream, request.id, None).await?;
            }
            if request.undo.is_some() && !request.undone && ledger.mode != Mode::Running {
                let undo = self.outcome(&stream, request.id, Some(settled.refused_undos)).await?;
                request.undone = matches!(undo, RequestOutcome::TookEffect | RequestOutcome::Unchanged);
            }
        }
        Ok(Some(status))
    }

    async fn outcome(
        &self,
        stream: &StreamId,
        request: RequestId,
        undo: Option<u32>,
    ) -> Result<RequestOutcome, BoxError> {
        let first = self.store.find_append(&request_key(stream, request, undo)?).await?;
        Ok(match first {
            None => RequestOutcome::Open,
            Some(first) => {
                let parts = &first.appended.streams;
                if parts.iter().any(|part| part.stream == *stream) {
                    RequestOutcome::Refused
                } else if parts.iter().any(|part| part.count > 0) {
                    RequestOutcome::TookEffect
                } else {
                    RequestOutcome::Unchanged
                }
            }
        })
    }

    /// All instances of a process, without a look at the outcomes of their requests. It reads all streams of the process.
    ///
    /// # Errors
    /// The store fails, or holds records of a newer version of recount.
    pub async fn instances(&self, process: &str) -> Result<Vec<InstanceStatus>, BoxError> {
        let ledgers = self.ledgers(process).await?;
        Ok(ledgers.iter().map(|(id, ledger)| InstanceStatus::of(id, ledger)).collect())
    }

    /// How many instances of a process are in each state. It reads all streams of the process.
    ///
    /// # Errors
    /// The store fails, or holds records of a newer version of recount.
    pub async fn summary(&self, process: &str) -> Result<ProcessSummary, BoxError> {
        let mut summary = ProcessSummary::default();
        for (_, ledger) in self.ledgers(process).await? {
            *summary.of(InstanceState::of(&ledger)) += 1;
        }
        Ok(summary)
    }

    async fn ledgers(&self, process: &str) -> Result<Vec<(String, Ledger)>, BoxError> {
        let mut events = self.store.read_all(ReadAll::new(Query::category(process)));
        let (mut places, mut ledgers) = (HashMap::new(), Vec::<(String, Ledger)>::new());
        while let Some(event) = events.next().await {
            let event = event?;
            let place = *places.entry(event.stream.clone()).or_insert_with(|| {
                ledgers.push((event.stream.id().to_owned(), Ledger::default()));
                ledgers.len() - 1
            });
            let (data, ledger) = (&event.data, &mut ledgers[place].1);
            if data.event_type.as_str().starts_with(RESERVED) {
                ledger.apply(&Record::decode(data.event_type.as_str(), data.schema_version, &data.payload)?);
            } else {
                ledger.fact();
            }
        }
        Ok(ledgers)
    }

    /// Orders an instance that is parked or stuck to try again. A runner of the process carries the order out.
    ///
    /// # Errors
    /// [`OrderError`] if there is no such instance, or it is neither parked nor stuck.
    pub async fn redrive(&self, process: &str, id: &str, by: &str) -> Result<(), OrderError> {
        let (stream, ledger) = self.ledger(process, id).await?;
        if ledger.parked.is_none() && ledger.stuck.is_none() {
            return Err(OrderError::NothingToDo { instance: stream, state: InstanceState::of(&ledger) });
        }
        self.order(stream, Record::Redrive(RedriveRecord { by: by.to_owned() })).await
    }

    /// Declares that nothing is left to undo for a request whose undo was refused. The compensation then goes on. The
    /// note says why, for those who read the stream later.
    ///
    /// # Errors
    /// [`OrderError`] if there is no such instance, or it is not stuck at this request.
    pub async fn resolve(
        &self,
        process: &str,
        id: &str,
        request: RequestId,
        by: &str,
        note: &str,
    ) -> Result<(), OrderError> {
        let (stream, ledger) = self.ledger(process, id).await?;
        if ledger.stuck.as_ref().is_none_or(|stuck| stuck.request != request) {
            return Err(OrderError::NothingToDo { instance: stream, state: InstanceState::of(&ledger) });
        }
        let (by, note) = (by.to_owned(), note.to_owned());
        self.order(stream, Record::Resolved(ResolvedRecord { request, by, note })).await
    }

    async fn ledger(&self, process: &str, id: &str) -> Result<(StreamId, Ledger), OrderError> {
        let stream = StreamId::new(process, id).map_err(|error| OrderError::Failed(error.into()))?;
        match ledger_of(&*self.store, &stream).await.map_err(OrderError::Failed)? {
            Some(ledger) => Ok((stream, ledger)),
            None => Err(OrderError::Unknown { instance: stream }),
        }
    }

    async fn order(&self, stream: StreamId, record: Record) -> Result<(), OrderError> {
        let failed = |error: BoxError| OrderError::Failed(error);
        let event = record.encode().map_err(|error| failed(error.into()))?;
        match self.store.append(Append::to(stream, ExpectedVersion::StreamExists, vec![event])).await {
            Ok(_) => Ok(()),
            Err(AppendError::Store(StoreError::StreamNotFound { stream })) => {
                Err(OrderError::Unknown { instance: stream })
            }
            Err(error) => Err(failed(error.into())),
        }
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes").finish_non_exhaustive()
    }
}

/// Why an operator's order was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// There is no such instance.
    #[error("there is no instance {instance}")]
    Unknown {
        /// The stream of the instance.
        instance: StreamId,
    },
    /// The order does not fit the state of the instance.
    #[error("instance {instance} is {state}: there is nothing to redrive or resolve")]
    NothingToDo {
        /// The stream of the instance.
        instance: StreamId,
        /// Its state.
        state: InstanceState,
    },
    /// The store failed.
    #[error("the order was not recorded")]
    Failed(#[source] BoxError),
}

impl InstanceState {
    fn of(ledger: &Ledger) -> Self {
        if ledger.parked.is_some() {
            return Self::Parked;
        }
        match ledger.mode {
            Mode::New => Self::Held,
            Mode::Running if ledger.timers.is_empty() => Self::Running,
            Mode::Running => Self::Waiting,
            Mode::Compensating if ledger.stuck.is_some() => Self::Stuck,
            Mode::Compensating => Self::Compensating,
            Mode::Compensated => Self::Compensated,
            Mode::Ended => Self::Ended,
        }
    }

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Compensating => "compensating",
            Self::Stuck => "stuck",
            Self::Parked => "parked",
            Self::Ended => "ended",
            Self::Compensated => "compensated",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ProcessSummary {
    fn of(&mut self, state: InstanceState) -> &mut u64 {
        match state {
            InstanceState::Held => &mut self.held,
            InstanceState::Running => &mut self.running,
            InstanceState::Waiting => &mut self.waiting,
            InstanceState::Compensating => &mut self.compensating,
            InstanceState::Stuck => &mut self.stuck,
            InstanceState::Parked => &mut self.parked,
            InstanceState::Ended => &mut self.ended,
            InstanceState::Compensated => &mut self.compensated,
        }
    }
}

impl InstanceStatus {
    fn of(id: &str, ledger: &Ledger) -> Self {
        let name = |command: &super::record::CommandRecord| format!("{}.{}", command.aggregate, command.name);
        let requests = ledger.requests.iter().map(|(request, settled)| RequestStatus {
            id: request.id,
            command: request.command.as_ref().map(name),
            undo: request.undo.as_ref().map(name),
            outcome: match settled {
                settled if settled.refused => RequestOutcome::Refused,
                settled if settled.withdrawn => RequestOutcome::Withdrawn,
                _ => RequestOutcome::Open,
            },
            undone: settled.refused || settled.withdrawn || settled.resolved,
        });
        let halt = ledger.parked.as_ref().map(|halt| Trouble {
            position: Some(halt.position),
            request: None,
            error: halt.error.to_string(),
        });
        let stuck = ledger.stuck.as_ref().map(|stuck| Trouble {
            position: None,
            request: Some(stuck.request),
            error: stuck.error.to_string(),
        });
        let timers = ledger.pending_timers();
        Self {
            id: id.to_owned(),
            state: InstanceState::of(ledger),
            version: ledger.version,
            last_input: ledger.last,
            held: ledger.held.clone(),
            timers: timers.into_iter().map(|timer| TimerStatus { timer: timer.timer, due: timer.due }).collect(),
            requests: requests.collect(),
            trouble: halt.or(stuck),
        }
    }
}

//! Processes as data, read from the store: no runner is needed, nor the types of the process.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;
use serde::Serialize;

use super::desk::{ledger_of, request_key};
use super::ledger::{Ledger, Mode};
use super::record::RequestId;
use super::state::InstanceState;
use super::timers;
use crate::{BoxError, Position, Query, ReadAll, Store, StoreError, StreamId, Timestamp};

/// The processes of a store: their instances, and orders to those that can't go on.
#[derive(Clone)]
pub struct Processes {
    store: Arc<dyn Store>,
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
    /// The request with the refused undo.
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

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The names of the processes that were started on this store.
    ///
    /// # Errors
    /// The store fails.
    pub async fn names(&self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        let mut events = self.store.read_all(ReadAll::new(Query::category(super::start::CATEGORY)));
        while let Some(event) = events.next().await {
            names.push(event?.stream.id().to_owned());
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The timers of a process that are set, the next due first: each with the id of its instance. At most `limit`. An
    /// entry of a timer that was moved or cancelled goes when it is due.
    ///
    /// # Errors
    /// The store fails.
    pub async fn timers(&self, process: &str, limit: usize) -> Result<Vec<(String, TimerStatus)>, BoxError> {
        let (mut found, mut after) = (Vec::new(), None);
        while found.len() < limit {
            let page = timers::page(&*self.store, process, after.as_ref(), timers::PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, entry) in &page {
                let timers::TimerEntry { instance, timer } = timers::read(key, entry)?;
                found.push((instance.to_string(), TimerStatus { timer: timer.timer, due: timer.due }));
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Writes the index of timers anew from the streams of a process, for example after the state of the store was lost.
    /// Returns the number of timers that are set.
    ///
    /// # Errors
    /// The store fails, or holds records of a newer version of recount.
    pub async fn rebuild_timers(&self, process: &str) -> Result<u64, BoxError> {
        let mut count = 0;
        for (id, ledger) in self.ledgers(process).await? {
            let pending = ledger.pending_timers();
            timers::put(&*self.store, process, &id.as_str().into(), &pending).await?;
            count += pending.len() as u64;
        }
        Ok(count)
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
            ledgers[place].1.fold(&event.data)?;
        }
        Ok(ledgers)
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes").finish_non_exhaustive()
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
        let requests = ledger.requests.iter().map(|(request, settled)| RequestStatus {
            id: request.id,
            command: request.command.as_ref().map(ToString::to_string),
            undo: request.undo.as_ref().map(ToString::to_string),
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

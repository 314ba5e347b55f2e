//! The ledger of an instance: its state, as the runtime's own events record it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{CommandRecord, Next, Record, RefusedRecord, RequestId, StepRecord, TimerRecord, Why};
use crate::store::RESERVED;
use crate::{DecodeError, EventData, Position};

/// How far an instance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// There was no step yet.
    #[default]
    New,
    Running,
    /// The effects are being undone.
    Compensating,
    Compensated,
    Ended,
}

/// A command that a step asked for, or an undo that it added.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    /// `None` if the step added only an undo.
    pub(crate) command: Option<CommandRecord>,
    pub(crate) undo: Option<CommandRecord>,
}

/// The settlement of a request, as far as the stream tells it. A request that took effect leaves no trace here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) refused: bool,
    pub(crate) withdrawn: bool,
    /// An operator said that nothing is left to undo.
    pub(crate) resolved: bool,
    /// How often its undo was refused.
    pub(crate) refused_undos: u32,
}

/// A timer that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) generation: u64,
    pub(crate) due: crate::Timestamp,
}

/// An instance that can't go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    /// The first input that was not taken.
    pub(crate) position: Position,
    pub(crate) error: Arc<str>,
    /// An operator has ordered to try again.
    pub(crate) redriven: bool,
    /// The version of the event that parked the instance last. An end of the halt is for one such event.
    pub(crate) version: u64,
}

/// A compensation that can't go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stuck {
    pub(crate) request: RequestId,
    pub(crate) error: Arc<str>,
}

/// The fold of the runtime's events in the stream of an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// How many events were folded, facts included: the stream version of the last.
    pub(crate) version: u64,
    pub(crate) mode: Mode,
    /// The position of the last input that a step was taken on.
    pub(crate) last: Position,
    /// Inputs that wait for the instance's start, in order.
    pub(crate) held: Vec<Position>,
    pub(crate) timers: BTreeMap<String, Pending>,
    pub(crate) requests: Vec<(Arc<Request>, Settled)>,
    pub(crate) parked: Option<Halt>,
    pub(crate) stuck: Option<Stuck>,
}

impl Ledger {
    /// Folds an event of the stream, without the types of the facts.
    ///
    /// # Errors
    /// A record of a newer version of recount.
    pub(crate) fn fold(&mut self, data: &EventData) -> Result<(), DecodeError> {
        let event_type = data.event_type.as_str();
        if event_type.starts_with(RESERVED) {
            self.apply(&Record::decode(event_type, data.schema_version, &data.payload)?);
        } else {
            self.fact();
        }
        Ok(())
    }

    /// Counts a fact.
    pub(crate) fn fact(&mut self) {
        self.version += 1;
    }

    pub(crate) fn apply(&mut self, record: &Record) {
        self.version += 1;
        match record {
            Record::Step(step) => self.step(step),
            Record::Refused(refused) => self.refused(refused),
            Record::Withdrawn(withdrawn) => {
                self.settle(withdrawn.request, |settled| settled.withdrawn = true);
            }
            Record::Held(held) => self.held.push(held.position),
            Record::Parked(parked) => {
                // The inputs from the first failure on wait, even if others fail meanwhile.
                let first = self.parked.as_ref().map_or(parked.position, |halt| halt.position.min(parked.position));
                let (error, version) = (parked.error.as_str().into(), self.version);
                self.parked = Some(Halt { position: first, error, redriven: false, version });
            }
            Record::Redrive(_) => {
                self.stuck = None;
                if let Some(halt) = &mut self.parked {
                    halt.redriven = true;
                }
            }
            Record::Resumed(_) => self.parked = None,
            Record::Resolved(resolved) => {
                self.settle(resolved.request, |settled| settled.resolved = true);
                self.stuck = None;
            }
            Record::Compensated(_) => {
                self.mode = Mode::Compensated;
                self.timers.clear();
            }
        }
    }

    fn step(&mut self, step: &StepRecord) {
        let id = |index: usize| RequestId { step: self.version, index: u32::try_from(index).unwrap_or(u32::MAX) };
        let requests = step.requests.iter().enumerate().map(|(index, request)| Request {
            id: id(index),
            command: Some(request.command.clone()),
            undo: request.undo.clone(),
        });
        let undos = step.undos.iter().enumerate().map(|(index, undo)| Request {
            id: id(step.requests.len() + index),
            command: None,
            undo: Some(undo.clone()),
        });
        let all: Vec<_> = requests.chain(undos).map(|request| (Arc::new(request), Settled::default())).collect();
        self.requests.extend(all);
        match &step.why {
            Why::Input { position, .. } | Why::Refusal { position, .. } => self.last = *position,
            Why::Held { position, .. } => self.held.retain(|held| held != position),
            Why::Timer { timer, .. } => drop(self.timers.remove(timer)),
        }
        for TimerRecord { timer, generation, .. } in &step.cancelled {
            if self.timers.get(timer).is_some_and(|pending| pending.generation == *generation) {
                self.timers.remove(timer);
            }
        }
        for TimerRecord { timer, generation, due } in &step.timers {
            self.timers.insert(timer.clone(), Pending { generation: *generation, due: *due });
        }
        self.mode = match (self.mode, step.next) {
            (Mode::Compensating, _) | (_, Next::Compensate) => Mode::Compensating,
            (_, Next::End) => Mode::Ended,
            (_, Next::Run) => Mode::Running,
        };
        if self.mode == Mode::Ended {
            self.held.clear();
        }
    }

    fn refused(&mut self, refused: &RefusedRecord) {
        match refused.undo {
            None => self.settle(refused.request, |settled| settled.refused = true),
            Some(_) => {
                self.settle(refused.request, |settled| settled.refused_undos += 1);
                self.stuck = Some(Stuck { request: refused.request, error: refused.message.as_str().into() });
            }
        }
    }

    fn settle(&mut self, id: RequestId, change: impl FnOnce(&mut Settled)) {
        if let Some((_, settled)) = self.requests.iter_mut().find(|(request, _)| request.id == id) {
            change(settled);
        }
    }

    /// The request of this id.
    pub(crate) fn request(&self, id: RequestId) -> Option<&Arc<Request>> {
        self.requests.iter().map(|(request, _)| request).find(|request| request.id == id)
    }

    /// The first position at which an input may not have been taken yet.
    pub(crate) fn next_input(&self) -> Position {
        Position::new(self.last.get().saturating_add(1))
    }

    /// Whether inputs and timers have no effect any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.mode, Mode::Ended | Mode::Compensated)
    }

    /// Whether commands of its steps may be sent now.
    pub(crate) fn sends(&self) -> bool {
        self.parked.is_none() && matches!(self.mode, Mode::Running | Mode::Ended)
    }

    pub(crate) fn pending_timers(&self) -> Vec<TimerRecord> {
        let record = |(timer, pending): (&String, &Pending)| TimerRecord {
            timer: timer.clone(),
            generation: pending.generation,
            due: pending.due,
        };
        self.timers.iter().map(record).collect()
    }
}

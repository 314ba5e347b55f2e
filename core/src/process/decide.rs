//! Decisions of an instance: from an input, a timer or a refusal to the events of a step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Error as JsonError;
use smol_str::SmolStr;

use super::instance::{Instance, InstanceEvent, NoStep};
use super::ledger::{Ledger, Mode};
use super::record::{
    CompensatedRecord, HeldRecord, Next, ParkedRecord, Record, RefusedRecord, ResumedRecord, StepRecord, TimerRecord,
    Why,
};
use super::step::{TimerChange, Verdict};
use super::{Moment, Process, RefusedCommand, Step, Timer, UnknownInstance};
use crate::domain::panic_message;
use crate::{AnyCommand, Context, EventId, Position, Refusal, Timestamp};

type Decided<P> = Result<Vec<InstanceEvent<P>>, NoStep>;

/// Something to decide about an instance.
#[derive(Clone)]
pub(crate) struct Order<P: Process> {
    pub(crate) instance: SmolStr,
    pub(crate) kind: OrderKind<P>,
}

/// The kinds of orders.
#[derive(Clone)]
pub(crate) enum OrderKind<P: Process> {
    Input(Heard<P>),
    Refusal {
        position: Position,
        at: Timestamp,
        refused: Arc<RefusedRecord>,
        redriven: bool,
    },
    Timer(TimerRecord),
    Park {
        /// The position of the input that failed; none if a timer or a command did.
        input: Option<Position>,
        error: Arc<str>,
    },
    /// The halt that this version of the stream began is over.
    Resume {
        parked: u64,
    },
    /// All of so many requests are undone.
    Compensated {
        requests: usize,
    },
}

/// An input of an instance.
pub(crate) struct Heard<P: Process> {
    pub(crate) input: Arc<P::Input>,
    pub(crate) position: Position,
    pub(crate) event: EventId,
    pub(crate) event_type: SmolStr,
    pub(crate) at: Timestamp,
    /// Whether it starts the instance.
    pub(crate) starts: bool,
    pub(crate) turn: Turn,
}

// Derived, it would ask for inputs that can be cloned.
impl<P: Process> Clone for Heard<P> {
    fn clone(&self) -> Self {
        let Self { input, position, event, event_type, at, starts, turn } = self;
        let (input, event_type) = (Arc::clone(input), event_type.clone());
        Self { input, position: *position, event: *event, event_type, at: *at, starts: *starts, turn: *turn }
    }
}

/// The occasion on which an input is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It was delivered.
    Delivered,
    /// The instance has started, and the input was held.
    Held,
    /// An operator redrives the instance.
    Redriven,
}

impl<P: Process> AnyCommand<Instance<P>> for Order<P> {
    fn name(&self) -> &'static str {
        match self.kind {
            OrderKind::Input(_) => "input",
            OrderKind::Refusal { .. } => "refusal",
            OrderKind::Timer(_) => "timer",
            OrderKind::Park { .. } => "park",
            OrderKind::Resume { .. } => "resume",
            OrderKind::Compensated { .. } => "compensated",
        }
    }

    fn creates(&self) -> bool {
        false
    }

    fn aggregate_id(&self) -> &SmolStr {
        &self.instance
    }

    // Orders have no idempotency keys: the ledger recognises them. So nothing asks for these.
    fn to_json(&self) -> Result<Vec<u8>, JsonError> {
        Ok(Vec::new())
    }

    fn content(&self) -> Result<Vec<u8>, JsonError> {
        Ok(Vec::new())
    }

    fn boxed(&self) -> Box<dyn AnyCommand<Instance<P>>> {
        Box::new(self.clone())
    }

    fn handle(&self, instance: &Instance<P>, context: &Context<'_>) -> Decided<P> {
        let ledger = &instance.ledger;
        let step = |why: Why, decide: &dyn Fn() -> Step<P>| {
            let step = catch_unwind(AssertUnwindSafe(decide))
                .map_err(|panic| NoStep::Failed(format!("the process panicked: {}", panic_message(&*panic))))?;
            events(step, why, ledger, context.version.get())
        };
        match &self.kind {
            OrderKind::Input(heard) => match admit(heard, ledger)? {
                Admitted::Step => {
                    let (position, event) = (heard.position, heard.event);
                    let event_type = heard.event_type.to_string();
                    let why = match heard.turn {
                        Turn::Held => Why::Held { position, event, event_type },
                        Turn::Delivered | Turn::Redriven => Why::Input { position, event, event_type },
                    };
                    step(why, &|| instance.state.on(&heard.input, &Moment::new(heard.at)))
                }
                Admitted::Hold(why) => {
                    let position = heard.position;
                    let park = why.map(|error| Record::Parked(ParkedRecord { position, error: error.to_owned() }));
                    let held = std::iter::once(Record::Held(HeldRecord { position })).chain(park);
                    Ok(held.map(InstanceEvent::Record).collect())
                }
            },
            OrderKind::Refusal { position, at, refused, redriven } => {
                let request = may_take(ledger, *position, *redriven)
                    .and_then(|()| ledger.request(refused.request).ok_or(NoStep::Unknown))?;
                // The compensation finds out about refused requests by itself.
                if ledger.is_over() {
                    return Err(NoStep::Late);
                }
                let (Some(command), None, Mode::Running) = (&request.command, refused.undo, ledger.mode) else {
                    return Err(NoStep::Ignored);
                };
                let (kind, message) = (refused.kind.clone(), refused.message.clone());
                let refusal = Refusal::kept(kind, message, refused.json.clone());
                let refusal = RefusedCommand { command: command.clone(), refusal };
                let why = Why::Refusal { position: *position, request: refused.request };
                step(why, &|| instance.state.refused(&refusal, &Moment::new(*at)))
            }
            OrderKind::Timer(record) => {
                let pending = ledger.timers.get(&record.timer);
                if pending.is_none_or(|pending| pending.generation != record.generation) {
                    return Err(if ledger.is_over() { NoStep::Late } else { NoStep::Stale });
                }
                if ledger.parked.is_some() {
                    return Err(NoStep::Queued);
                }
                let timer = P::Timer::from_text(&record.timer).map_err(|error| NoStep::Failed(error.to_string()))?;
                let TimerRecord { timer: text, generation, due } = record.clone();
                let why = Why::Timer { timer: text, generation, due };
                step(why, &|| instance.state.due(&timer, &Moment::new(due)))
            }
            // Another program has handled the input meanwhile.
            OrderKind::Park { input: Some(input), .. } if *input <= ledger.last && !ledger.held.contains(input) => {
                Err(NoStep::Stale)
            }
            OrderKind::Park { input, error } => match &ledger.parked {
                Some(halt) if halt.error == *error && !halt.redriven => Err(NoStep::Duplicate),
                _ => one(Record::Parked(ParkedRecord {
                    position: input.unwrap_or_else(|| ledger.next_input()),
                    error: error.to_string(),
                })),
            },
            OrderKind::Resume { parked } if ledger.parked.as_ref().is_some_and(|halt| halt.version == *parked) => {
                one(Record::Resumed(ResumedRecord {}))
            }
            OrderKind::Compensated { requests } if ledger.mode == Mode::Compensating => {
                if ledger.requests.len() != *requests {
                    return Err(NoStep::Stale);
                }
                one(Record::Compensated(CompensatedRecord {}))
            }
            OrderKind::Resume { .. } | OrderKind::Compensated { .. } => Err(NoStep::Duplicate),
        }
    }
}

fn one<P: Process>(record: Record) -> Decided<P> {
    Ok(vec![InstanceEvent::Record(record)])
}

/// The admission of an input: it becomes a step, or it is held.
enum Admitted {
    Step,
    /// It waits for the start; with an error the instance is parked.
    Hold(Option<&'static str>),
}

fn admit<P: Process>(heard: &Heard<P>, ledger: &Ledger) -> Result<Admitted, NoStep> {
    match heard.turn {
        Turn::Held if !ledger.held.contains(&heard.position) => return Err(NoStep::Duplicate),
        Turn::Held => {}
        Turn::Delivered | Turn::Redriven => may_take(ledger, heard.position, heard.turn == Turn::Redriven)?,
    }
    match ledger.mode {
        Mode::New if heard.starts => Ok(Admitted::Step),
        Mode::New if ledger.held.contains(&heard.position) => Err(NoStep::Duplicate),
        Mode::New => match P::UNKNOWN {
            UnknownInstance::Ignore => Err(NoStep::Unknown),
            UnknownInstance::Hold => Ok(Admitted::Hold(None)),
            UnknownInstance::Park => Ok(Admitted::Hold(Some("the instance was not started"))),
        },
        Mode::Running | Mode::Compensating => Ok(Admitted::Step),
        Mode::Ended | Mode::Compensated => Err(NoStep::Late),
    }
}

/// Whether the input at this position comes next. Inputs of an instance are taken in the order of their positions, so an
/// input at or before the last one was handled.
fn may_take(ledger: &Ledger, position: Position, redriven: bool) -> Result<(), NoStep> {
    if position <= ledger.last {
        return Err(NoStep::Duplicate);
    }
    if ledger.parked.is_some() && !redriven {
        return Err(NoStep::Queued);
    }
    Ok(())
}

/// The events of a step, for an instance with its stream at this version.
fn events<P: Process>(step: Step<P>, why: Why, ledger: &Ledger, version: u64) -> Decided<P> {
    let Step { verdict, facts, requests, undos, timers, next, failed } = step;
    // A timer is no longer set once it has fired, and an input no longer held once it was handled: the step records that,
    // even if it has no other content.
    let settles = matches!(why, Why::Timer { .. } | Why::Held { .. });
    match verdict {
        Verdict::Ignore if !settles => return Err(NoStep::Ignored),
        Verdict::Unexpected if !settles => return Err(NoStep::Unexpected),
        Verdict::Act | Verdict::Ignore | Verdict::Unexpected => {}
    }
    if let Some((command, error)) = failed {
        return Err(NoStep::Failed(format!("command {command} has no stored form: {error}")));
    }
    let compensating = ledger.mode == Mode::Compensating;
    let generation = version + facts.len() as u64 + 1;
    let mut record = StepRecord {
        why,
        requests,
        undos,
        timers: Vec::new(),
        cancelled: Vec::new(),
        next: if compensating { Next::Run } else { next },
        dropped: Vec::new(),
    };
    if compensating {
        // The instance is being undone, so the step's new requests are dropped.
        record.dropped = record.requests.drain(..).map(|request| request.command.name).collect();
    }
    if compensating || next != Next::Run {
        record.cancelled = ledger.pending_timers();
    } else {
        set_timers::<P>(&mut record, timers, ledger, generation)?;
    }
    if let Why::Timer { timer, .. } = &record.why {
        record.cancelled.retain(|cancelled| cancelled.timer != *timer);
    }
    let facts = facts.into_iter().map(InstanceEvent::Fact);
    Ok(facts.chain([InstanceEvent::Record(Record::Step(record))]).collect())
}

fn set_timers<P: Process>(
    record: &mut StepRecord,
    changes: Vec<TimerChange<P::Timer>>,
    ledger: &Ledger,
    generation: u64,
) -> Result<(), NoStep> {
    for TimerChange { timer, due } in changes {
        let timer = timer.to_text().map_err(|error| NoStep::Failed(error.to_string()))?;
        let set = ledger.timers.iter().find(|(text, _)| **text == timer || has_form::<P>(text, &timer));
        if let Some((text, pending)) = set
            && !record.cancelled.iter().any(|cancelled| cancelled.timer == *text)
        {
            let (generation, due) = (pending.generation, pending.due);
            record.cancelled.push(TimerRecord { timer: text.clone(), generation, due });
        }
        record.timers.retain(|set| set.timer != timer);
        if let Some(due) = due {
            record.timers.push(TimerRecord { timer, generation, due });
        }
    }
    Ok(())
}

/// Whether a timer that was stored under an alias, or before it had all of its fields, is the timer with this form now.
fn has_form<P: Process>(stored: &str, form: &str) -> bool {
    P::Timer::from_text(stored).and_then(|timer| timer.to_text()).is_ok_and(|now| now == form)
}

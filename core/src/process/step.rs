//! Steps: the decisions of a process about its inputs.

use crate::{Apply, Command, HandleWith, Timestamp};

use super::record::{CommandRecord, Next, RequestRecord};
use super::{ProcessDefinition, Sends};

/// The decision about an input, a due timer, or a refusal: facts to remember, commands to send, timers to set.
///
/// All parts of a step are recorded in one append. Its commands are then sent in order.
///
/// ```
/// # use std::time::Duration;
/// # use recount_core::{Apply, Command, HandleWith, Moment, Process, Sends, Step};
/// # fn f<P, A, R, D>(fact: P::Fact, timer: P::Timer, reserve: R, release: D, at: &Moment) -> Step<P>
/// # where P: Process + Sends<R> + Sends<D>, A: Apply + HandleWith<R> + HandleWith<D>,
/// # R: Command<Aggregate = A>, D: Command<Aggregate = A> {
/// Step::new().fact(fact).run(reserve, release).timer(timer, at.after(Duration::from_secs(1800)))
/// # }
/// ```
#[must_use = "a step that is not returned has no effect"]
pub struct Step<P: ProcessDefinition> {
    pub(super) verdict: Verdict,
    pub(super) facts: Vec<P::Fact>,
    pub(super) requests: Vec<RequestRecord>,
    pub(super) undos: Vec<CommandRecord>,
    pub(super) timers: Vec<TimerChange<P::Timer>>,
    pub(super) next: Next,
    /// The first command that has no stored form.
    pub(super) failed: Option<(&'static str, serde_json::Error)>,
}

/// Whether there is anything to do about an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Act,
    Ignore,
    Unexpected,
}

/// A timer that a step sets or cancels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimerChange<T> {
    pub(super) timer: T,
    /// When it is due; `None` cancels it.
    pub(super) due: Option<Timestamp>,
}

impl<P: ProcessDefinition> Default for Step<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: ProcessDefinition> Step<P> {
    /// A step without parts. Recorded as it is, it tells that the input was handled.
    pub const fn new() -> Self {
        Self {
            verdict: Verdict::Act,
            facts: Vec::new(),
            requests: Vec::new(),
            undos: Vec::new(),
            timers: Vec::new(),
            next: Next::Run,
            failed: None,
        }
    }

    /// The input changes nothing. It is counted, and nothing is recorded: after a crash the runtime may ask again, behind a
    /// step that came later. A decision that must stick is a [fact](Self::fact). As the answer to a timer or to an input
    /// that was held, it is a step without content.
    pub const fn ignore() -> Self {
        let mut step = Self::new();
        step.verdict = Verdict::Ignore;
        step
    }

    /// The input does not fit the state. It is counted and logged, and nothing is recorded.
    pub const fn unexpected() -> Self {
        let mut step = Self::new();
        step.verdict = Verdict::Unexpected;
        step
    }

    /// Remembers this fact.
    pub fn fact(mut self, fact: P::Fact) -> Self {
        self.facts.push(fact);
        self
    }

    /// Sends this command.
    pub fn send<A, C>(mut self, command: C) -> Self
    where
        P: Sends<C>,
        A: Apply + HandleWith<C>,
        C: Command<Aggregate = A>,
    {
        if let Some(command) = self.record(&command) {
            self.requests.push(RequestRecord { command, undo: None });
        }
        self
    }

    /// Sends this command. If the instance is compensated later, and the command took effect, `undo` is sent.
    pub fn run<A, C, B, U>(mut self, command: C, undo: U) -> Self
    where
        P: Sends<C> + Sends<U>,
        A: Apply + HandleWith<C>,
        C: Command<Aggregate = A>,
        B: Apply + HandleWith<U>,
        U: Command<Aggregate = B>,
    {
        if let (Some(command), Some(undo)) = (self.record(&command), self.record(&undo)) {
            self.requests.push(RequestRecord { command, undo: Some(undo) });
        }
        self
    }

    /// Sends this command if the instance is compensated, now or later: it undoes effects outside of the process.
    pub fn also_undo<A, C>(mut self, undo: C) -> Self
    where
        P: Sends<C>,
        A: Apply + HandleWith<C>,
        C: Command<Aggregate = A>,
    {
        if let Some(undo) = self.record(&undo) {
            self.undos.push(undo);
        }
        self
    }

    /// Sets a timer, or moves it if it is set.
    pub fn timer(mut self, timer: P::Timer, due: Timestamp) -> Self {
        self.timers.push(TimerChange { timer, due: Some(due) });
        self
    }

    /// Cancels a timer; no effect if it isn't set.
    pub fn cancel(mut self, timer: P::Timer) -> Self {
        self.timers.push(TimerChange { timer, due: None });
        self
    }

    /// Undoes everything that took effect, the last first. Commands that were not carried out yet are withdrawn. The
    /// instance then ends.
    pub const fn compensate(mut self) -> Self {
        self.next = Next::Compensate;
        self
    }

    /// Ends the instance: later inputs and timers have no effect. Its commands are still sent.
    pub const fn end(mut self) -> Self {
        self.next = Next::End;
        self
    }

    fn record<C: Command>(&mut self, command: &C) -> Option<CommandRecord> {
        match CommandRecord::of(command) {
            Ok(record) => Some(record),
            Err(error) => {
                self.failed.get_or_insert((C::NAME, error));
                None
            }
        }
    }
}

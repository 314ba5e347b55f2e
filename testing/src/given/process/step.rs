//! given / when / then: facts, an input, the expected step.

use std::fmt::Debug;

use recount_core::{
    Aggregate, Apply, Command, EncodeError, Event, HandleWith, Moment, Process, RefusedCommand, Sends, Step,
    StepDescription, Timer, Timestamp,
};

use crate::diff::diff;
use crate::given::storage::{causes, fail, stored};

/// An instance of a process that remembers these facts.
///
/// The expected step is written as the process writes it. Both are compared as they are stored: facts, commands and timers by
/// name and JSON.
///
/// ```
/// # extern crate recount_core as recount;
/// # use std::time::Duration;
/// # use recount_core::{Aggregate, Apply, Command, Event, Handle, Moment, Process, RefusedCommand, Route, Step, Timer};
/// # #[derive(Event)] #[event(name = "order.placed")] struct Placed { order: u64 }
/// # #[derive(Event)] #[event(name = "payment.requested")] struct Requested;
/// # #[derive(Debug, thiserror::Error)] #[error("declined")] struct Declined;
/// # #[derive(Aggregate, Clone, Default)]
/// # #[aggregate(name = "payment", id = u64, event = Requested, error = Declined, commands(Capture))]
/// # struct Payment;
/// # impl Apply for Payment { fn apply(&mut self, _: &Requested) {} }
/// # #[derive(Command, Clone)] #[command(aggregate = Payment)] struct Capture { #[command(id)] order: u64 }
/// # impl Handle<Capture> for Payment {
/// #     fn handle(&self, _: Capture) -> Result<Vec<Requested>, Declined> { Ok(vec![Requested]) }
/// # }
/// # #[derive(Event, Route)] #[event(union)] #[route(to = u64)]
/// # enum Input { #[route(start, by = order)] Order(Placed) }
/// # #[derive(Event, Debug, PartialEq)] #[event(name = "fulfilment")] enum Fact { Started { order: u64 }, Reminded }
/// # #[derive(Timer)] enum FulfilmentTimer { Overdue }
/// # #[derive(Process, Clone, Default)]
/// # #[process(name = "fulfilment", id = u64, input = Input, fact = Fact, timer = FulfilmentTimer, commands(Capture))]
/// # struct Fulfilment { order: u64 }
/// # impl Process for Fulfilment {
/// #     fn apply(&mut self, fact: &Fact) { if let Fact::Started { order } = fact { self.order = *order; } }
/// #     fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
/// #         let Input::Order(Placed { order }) = input;
/// #         Step::new()
/// #             .fact(Fact::Started { order: *order })
/// #             .send(Capture { order: *order })
/// #             .timer(FulfilmentTimer::Overdue, at.after(Duration::from_secs(60)))
/// #     }
/// #     fn due(&self, _: &FulfilmentTimer, _: &Moment) -> Step<Self> {
/// #         Step::new().fact(Fact::Reminded).send(Capture { order: self.order })
/// #     }
/// # }
/// use recount_testing::given_facts;
///
/// let soon = Moment::new(recount::Timestamp::UNIX_EPOCH).after(Duration::from_secs(60));
/// given_facts::<Fulfilment>([]).when_input(Input::Order(Placed { order: 7 })).then(
///     Step::new()
///         .fact(Fact::Started { order: 7 })
///         .send(Capture { order: 7 })
///         .timer(FulfilmentTimer::Overdue, soon),
/// );
///
/// given_facts::<Fulfilment>([Fact::Started { order: 7 }])
///     .when_due(FulfilmentTimer::Overdue)
///     .then(Step::new().fact(Fact::Reminded).send(Capture { order: 7 }));
///
/// given_facts::<Fulfilment>([Fact::Started { order: 7 }])
///     .when_refused(Capture { order: 7 }, Declined)
///     .then(Step::new().compensate());
/// ```
///
/// # Panics
/// If a fact can't be stored, or is another one when it is read again.
#[track_caller]
pub fn given_facts<P>(facts: impl IntoIterator<Item = P::Fact>) -> GivenFacts<P>
where
    P: Process,
    P::Fact: Debug + PartialEq,
{
    let mut state = P::default();
    for fact in facts {
        state.apply(&stored(fact).1);
    }
    GivenFacts { state, at: Timestamp::UNIX_EPOCH }
}

/// An instance of a process with a history. See [`given_facts`].
#[must_use = "say what it hears: `when_input(…)`, `when_due(…)` or `when_refused(…)`"]
#[derive(Clone, Debug)]
pub struct GivenFacts<P> {
    state: P,
    at: Timestamp,
}

impl<P: Process> GivenFacts<P> {
    /// Sets the [`Moment`] of the step; without it, the beginning of 1970.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.at = time;
        self
    }

    /// It hears an input.
    ///
    /// # Panics
    /// If the process does not hear this event, or the event can't be stored and read again.
    #[track_caller]
    pub fn when_input(self, input: P::Input) -> NextStep<P> {
        let step = self.state.on(&heard::<P>(input), &Moment::new(self.at));
        NextStep::of(step)
    }

    /// A timer is due.
    ///
    /// # Panics
    /// If the timer can't be stored and read again.
    #[track_caller]
    pub fn when_due(self, timer: P::Timer) -> NextStep<P> {
        let timer = match timer.to_text().and_then(|text| P::Timer::from_text(&text)) {
            Ok(timer) => timer,
            Err(error) => fail(&format!("this timer can't be stored and read again: {}", causes(&error))),
        };
        let step = self.state.due(&timer, &Moment::new(self.at));
        NextStep::of(step)
    }

    /// A command of an earlier step was refused for this reason. The process sees the reason as it is stored: as data.
    ///
    /// # Panics
    /// If the command has no stored form.
    #[track_caller]
    pub fn when_refused<A, C>(self, command: C, error: A::Error) -> NextStep<P>
    where
        P: Sends<C>,
        A: Apply + HandleWith<C>,
        C: Command<Aggregate = A>,
    {
        self.refused(RefusedCommand::by_domain(&command, error))
    }

    /// A command of an earlier step was refused, since it creates an aggregate that exists already.
    ///
    /// # Panics
    /// If the command has no stored form.
    #[track_caller]
    pub fn when_already_exists<A, C>(self, command: C) -> NextStep<P>
    where
        P: Sends<C>,
        A: Aggregate,
        C: Command<Aggregate = A>,
    {
        self.refused(RefusedCommand::already_exists(&command))
    }

    #[track_caller]
    fn refused(self, refused: Result<RefusedCommand, recount_core::BoxError>) -> NextStep<P> {
        let refused = match refused {
            Ok(refused) => refused,
            Err(error) => fail(&format!("this command can't be stored: {}", causes(&*error))),
        };
        let step = self.state.refused(&refused, &Moment::new(self.at));
        NextStep::of(step)
    }

    /// The state that the facts led to, to assert on.
    pub fn state(self) -> P {
        self.state
    }
}

/// The input as it is after storing and reading it.
#[track_caller]
fn heard<P: Process>(input: P::Input) -> P::Input {
    let data = match input.encode() {
        Ok(data) => data,
        Err(EncodeError::Retired { .. }) => return input,
        Err(error) => fail(&format!("this input can't be stored: {}", causes(&error))),
    };
    match P::Input::decode(data.event_type.as_str(), data.schema_version, &data.payload) {
        Ok(input) => input,
        Err(error) => fail(&format!("this input can be stored but not read again: {}", causes(&error))),
    }
}

/// The step that a process takes. Call a `then…` method, or the test tests nothing.
#[must_use = "say what should follow: `then(…)`, `then_ignored()`, `then_unexpected()`"]
pub struct NextStep<P: Process> {
    step: Step<P>,
}

impl<P: Process> NextStep<P> {
    const fn of(step: Step<P>) -> Self {
        Self { step }
    }

    /// Exactly this step follows: the same facts and commands in the same order, the same timers, the same end.
    ///
    /// # Panics
    /// If another step follows, or it can't be stored and read again.
    #[track_caller]
    pub fn then(self, expected: Step<P>)
    where
        P::Fact: Debug + PartialEq,
    {
        compare(&described(&expected, "the expected step"), &described(&self.step, "the step"));
        let facts = expected.into_facts();
        for fact in facts {
            stored(fact);
        }
    }

    /// The process ignores it: nothing is recorded.
    ///
    /// # Panics
    /// If a step follows.
    #[track_caller]
    pub fn then_ignored(self) {
        compare(&described(&Step::<P>::ignore(), "the expected step"), &described(&self.step, "the step"));
    }

    /// The process does not expect it in this state.
    ///
    /// # Panics
    /// If a step follows, or it is ignored.
    #[track_caller]
    pub fn then_unexpected(self) {
        compare(&described(&Step::<P>::unexpected(), "the expected step"), &described(&self.step, "the step"));
    }

    /// The step as data, for assertions of your own.
    ///
    /// # Panics
    /// If a part of it can't be stored.
    #[track_caller]
    pub fn describe(self) -> StepDescription {
        described(&self.step, "the step")
    }
}

#[track_caller]
fn described<P: Process>(step: &Step<P>, what: &str) -> StepDescription {
    match step.describe() {
        Ok(description) => description,
        Err(error) => fail(&format!("{what} can't be stored: {}", causes(&*error))),
    }
}

#[track_caller]
fn compare(expected: &StepDescription, actual: &StepDescription) {
    if expected != actual {
        let diff = diff(&expected.to_string(), &actual.to_string());
        fail(&format!("another step follows than expected (- expected, + actual):\n{diff}"));
    }
}

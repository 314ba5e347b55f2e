//! A process that runs on a store, so that a test sees the whole of it: ledger, commands, timers.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{
    Aggregate, Append, BoxError, Consumers, Event, EventData, ExpectedRevision, ExpectedVersion, Namespace, Process,
    Recount, RetryBudget, StartAt, StateStore, Status, Store, StreamId, Timestamp,
};

use crate::FaultyStore;
use crate::given::storage::{causes, fail};

/// How long the process may take until it is idle.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a wait for a due timer sleeps.
const LOOK: Duration = Duration::from_millis(5);

/// A process that runs on a store of the test, with the real runtime: inputs in, then look at the instance, at the effects of
/// its commands, and at its timeline.
///
/// On a memory store and with tokio's paused clock, time is virtual: [`pass`](Self::pass) is immediate.
///
/// ```
/// # extern crate recount_core as recount;
/// # use std::time::Duration;
/// # use recount_core::{Aggregate, Apply, Command, Event, Handle, InstanceState, Moment, Process, Route, Step, Timer};
/// # use recount_store_memory::MemoryStore;
/// # #[derive(Event, Debug, Clone, PartialEq)] #[event(name = "order.placed", unlocked)] struct Placed { order: u64 }
/// # #[derive(Aggregate, Clone, Default)]
/// # #[aggregate(name = "order", id = u64, event = Placed, error = std::fmt::Error, commands())]
/// # struct Order;
/// # impl Apply for Order { fn apply(&mut self, _: &Placed) {} }
/// # #[derive(Event, Debug, Clone, PartialEq)] #[event(name = "payment.requested", unlocked)] struct Requested;
/// # #[derive(Aggregate, Clone, Default)]
/// # #[aggregate(name = "payment", id = u64, event = Requested, error = std::fmt::Error, commands(Capture))]
/// # struct Payment;
/// # impl Apply for Payment { fn apply(&mut self, _: &Requested) {} }
/// # #[derive(Command, Clone)] #[command(aggregate = Payment)] struct Capture { #[command(id)] order: u64 }
/// # impl Handle<Capture> for Payment {
/// #     fn handle(&self, _: Capture) -> Result<Vec<Requested>, std::fmt::Error> { Ok(vec![Requested]) }
/// # }
/// # #[derive(Event, Route)] #[event(union)] #[route(to = u64)]
/// # enum Input { #[route(start, by = order)] Order(Placed) }
/// # #[derive(Event, Debug, PartialEq)] #[event(name = "fulfilment", unlocked)] enum Fact { Started { order: u64 } }
/// # #[derive(Timer)] enum FulfilmentTimer { Overdue }
/// # #[derive(Process, Clone, Default)]
/// # #[process(name = "fulfilment", id = u64, input = Input, fact = Fact, timer = FulfilmentTimer, commands(Capture))]
/// # struct Fulfilment { order: u64 }
/// # impl Process for Fulfilment {
/// #     fn apply(&mut self, Fact::Started { order }: &Fact) { self.order = *order; }
/// #     fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
/// #         let Input::Order(Placed { order }) = input;
/// #         let overdue = at.after(Duration::from_secs(86_400));
/// #         Step::new().fact(Fact::Started { order: *order }).timer(FulfilmentTimer::Overdue, overdue)
/// #     }
/// #     fn due(&self, _: &FulfilmentTimer, _: &Moment) -> Step<Self> {
/// #         Step::new().send(Capture { order: self.order }).end()
/// #     }
/// # }
/// use recount_testing::RunningProcess;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// let mut run = RunningProcess::<Fulfilment>::start(MemoryStore::new());
/// run.append::<Order>(&7, [Placed { order: 7 }]).await;
/// run.idle().await;
/// assert_eq!(run.instance(&7).await.state, InstanceState::Waiting);
///
/// run.pass(Duration::from_secs(86_400)).await;
/// assert_eq!(run.instance(&7).await.state, InstanceState::Ended);
/// assert_eq!(run.events::<Requested>().await, [Requested]);
/// # });
/// ```
pub struct RunningProcess<P> {
    pub(super) store: Arc<dyn Store>,
    pub(super) recount: Recount,
    /// `None` while the program is down.
    pub(super) program: Option<Program>,
    process: PhantomData<fn() -> P>,
}

/// A program that runs the process.
pub(super) struct Program {
    pub(super) faults: FaultyStore<Arc<dyn Store>>,
    consumers: Consumers,
}

impl Program {
    fn start<P: Process>(store: &Arc<dyn Store>) -> Self {
        let faults = FaultyStore::new(Arc::clone(store));
        let budget = RetryBudget { longest_pause: Duration::from_millis(50), ..RetryBudget::default() };
        let recount = Recount::new(faults.clone());
        let consumers = recount.consumers().process::<P>(StartAt::Beginning).retry(budget).start();
        Self { faults, consumers }
    }
}

impl<P: Process> RunningProcess<P> {
    /// Starts the process on this store, from the beginning.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(store: impl Store) -> Self {
        let mut run = Self::prepare(Arc::new(store));
        run.restart();
        run
    }

    /// A process that does not run yet.
    pub(super) fn prepare(store: Arc<dyn Store>) -> Self {
        Self { recount: Recount::new(Arc::clone(&store)), store, program: None, process: PhantomData }
    }

    pub(super) fn restart(&mut self) {
        // The old program is gone before the new one starts.
        self.program = None;
        self.program = Some(Program::start::<P>(&self.store));
    }

    /// Another program that runs the same process, until it is dropped.
    pub(super) fn second(&self) -> Program {
        Program::start::<P>(&self.store)
    }

    /// Appends events to the stream of an aggregate.
    ///
    /// # Panics
    /// If the store refuses them.
    pub async fn append<A: Aggregate>(&self, id: &A::Id, events: impl IntoIterator<Item = A::Event>) {
        let (stream, events) = encoded::<A>(id, events);
        self.append_data(stream, events).await;
    }

    pub(super) async fn append_data(&self, stream: StreamId, events: Vec<EventData>) {
        if let Err(error) = self.store.append(Append::to(stream, ExpectedVersion::Any, events)).await {
            fail(&format!("the store refuses these events: {}", causes(&error)));
        }
    }

    /// Waits until there is nothing to do: all inputs are taken, all commands are sent, and no timer is due.
    ///
    /// # Panics
    /// If the process is not idle after a minute, or a part of it stopped.
    pub async fn idle(&self) {
        match tokio::time::timeout(LIMIT, self.settle()).await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => fail(&format!("{problem}\n{}", self.log().await)),
            Err(_) => {
                let parts = self.program.as_ref().map(|program| program.consumers.progress());
                fail(&format!("the process is busy after {LIMIT:?}: {parts:#?}\n{}", self.log().await))
            }
        }
    }

    async fn settle(&self) -> Result<(), String> {
        let Some(program) = &self.program else { return Ok(()) };
        loop {
            let head = self.store.head().await.map_err(|error| causes(&error))?;
            for part in [P::NAME.to_owned(), format!("{}/send", P::NAME)] {
                if let Err(progress) = program.consumers.wait_for_one(&part, head).await {
                    return Err(format!("{part} stopped: {:?}", progress.status));
                }
            }
            let mut parts = program.consumers.progress().into_iter();
            if let Some(part) = parts.find(|part| matches!(part.status, Status::Stopped { .. })) {
                return Err(format!("{} stopped: {:?}", part.name, part.status));
            }
            let due = self.next_due().await.map_err(|error| causes(&*error))?;
            let now = self.now().await;
            if due.is_some_and(|due| due <= now) {
                tokio::time::sleep(LOOK).await;
            } else if self.store.head().await.map_err(|error| causes(&error))? == head {
                return Ok(());
            }
        }
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, BoxError> {
        let next = self.recount.processes().timers(P::NAME, 1).await?;
        Ok(next.first().map(|(_, timer)| timer.due))
    }

    /// Lets time pass: timers that are due meanwhile fire, each at its time. The program is down between them.
    ///
    /// # Panics
    /// As [`idle`](Self::idle).
    pub async fn pass(&mut self, time: Duration) {
        self.pass_with(time, async |run| run.idle().await).await;
    }

    /// Lets time pass. Whenever something is due, the process does its work.
    pub(super) async fn pass_with(&mut self, time: Duration, work: impl AsyncFn(&mut Self)) {
        let end = self.now().await.saturating_add(time).unwrap_or(Timestamp::MAX);
        work(self).await;
        while self.sleep_until_due(end).await {
            self.restart();
            work(self).await;
        }
        self.restart();
        work(self).await;
    }

    /// Sleeps until the next timer is due, but not past the end. Returns whether there is one.
    async fn sleep_until_due(&mut self, end: Timestamp) -> bool {
        self.program = None;
        let due = match self.next_due().await {
            Ok(due) => due.filter(|due| *due <= end),
            Err(error) => fail(&format!("the timers can't be read: {}", causes(&*error))),
        };
        let wake = due.unwrap_or(end);
        loop {
            // By the store's clock, as the runtime does.
            let wait = Duration::try_from(wake.duration_since(self.now().await)).unwrap_or_default();
            if wait.is_zero() {
                return due.is_some();
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn now(&self) -> Timestamp {
        match StateStore::now(&*self.store).await {
            Ok(now) => now,
            Err(error) => fail(&format!("the store fails: {}", causes(&error))),
        }
    }

    /// Dispatches commands beside the process, and loads aggregates.
    #[must_use]
    pub const fn recount(&self) -> &Recount {
        &self.recount
    }

    /// The program dies at once, and starts again.
    pub fn crash(&mut self) {
        self.restart();
    }

    /// The program dies and has lost its checkpoints when it starts again: all inputs and steps are delivered again.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn crash_without_checkpoints(&mut self) {
        self.program = None;
        let forget = async {
            let prefix = format!("process/{}", P::NAME);
            for (key, _) in self.store.list(Namespace::CONSUMER, &prefix, None, 100).await? {
                self.store.delete(&key, ExpectedRevision::Any).await?;
            }
            Ok::<(), BoxError>(())
        };
        if let Err(error) = forget.await {
            fail(&format!("the checkpoints can't be deleted: {}", causes(&*error)));
        }
        self.restart();
    }
}

/// The stream of an aggregate, and events as they are stored.
#[track_caller]
pub(super) fn encoded<A: Aggregate>(
    id: &A::Id,
    events: impl IntoIterator<Item = A::Event>,
) -> (StreamId, Vec<EventData>) {
    let stream = match A::stream(id) {
        Ok(stream) => stream,
        Err(error) => fail(&format!("the id can't name a stream: {error}")),
    };
    let encode = |event: A::Event| match event.encode() {
        Ok(data) => data,
        Err(error) => fail(&format!("an event can't be stored: {}", causes(&error))),
    };
    (stream, events.into_iter().map(encode).collect())
}

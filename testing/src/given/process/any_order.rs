//! Promises of a process that hold in any order of its inputs, with duplicates and crashes.

use std::any::Any;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use recount_core::{Aggregate, EventData, Process, Store, StreamId};

use super::running::{RunningProcess, encoded};
use crate::diff::diff;
use crate::given::storage::fail;

/// The environment variable that names the seed of the one order to run, such as `RECOUNT_PROCESS_SEED=17`.
pub const SEED_VARIABLE: &str = "RECOUNT_PROCESS_SEED";

/// The same inputs in many orders: of one instance or of several.
///
/// Each order is drawn from a seed. It keeps the order within each stream, as a store does. Between the inputs the process
/// runs until it is idle, or not at all; it dies and starts again, at each append if need be; it loses its checkpoints, so that
/// everything is delivered again; and two programs run it at once. Seed 0 is the order as written, without crashes.
///
/// When a promise is broken, the panic tells the seed, the order and the log. The environment variable
/// [`RECOUNT_PROCESS_SEED`](SEED_VARIABLE) runs that order alone.
///
/// ```no_run
/// # use recount_core::{Aggregate, Process, InstanceState};
/// # use recount_store_memory::MemoryStore;
/// # async fn test<P, Order, Stock>(placed: Order::Event, cancelled: Order::Event, filled: Stock::Event)
/// # where P: Process<Id = u64>, Order: Aggregate<Id = u64>, Stock: Aggregate<Id = u64> {
/// use recount_testing::any_order;
///
/// any_order::<P>()
///     .given::<Stock>(&7, [filled])
///     .input::<Order>(&7, [placed, cancelled])
///     .keeps(MemoryStore::new, async |run| {
///         let state = run.instance(&7).await.state;
///         assert!(matches!(state, InstanceState::Ended | InstanceState::Compensated), "order 7 is {state}");
///     })
///     .await;
/// # }
/// ```
#[must_use = "say what holds in any order: `keeps(…)` or `agrees(…)`"]
pub fn any_order<P: Process>() -> AnyOrder<P> {
    AnyOrder { given: Vec::new(), inputs: Vec::new(), runs: 50, time: Duration::ZERO, process: PhantomData }
}

/// Inputs to run in many orders. See [`any_order`].
#[must_use = "say what holds in any order: `keeps(…)` or `agrees(…)`"]
pub struct AnyOrder<P> {
    given: Vec<(StreamId, Vec<EventData>)>,
    /// One entry for each stream.
    inputs: Vec<(StreamId, Vec<EventData>)>,
    runs: u64,
    time: Duration,
    process: PhantomData<fn() -> P>,
}

/// An action in an order.
#[derive(Clone, Debug)]
enum Move {
    /// The next event of a stream is appended.
    Append(Box<(StreamId, EventData)>),
    /// The process runs until it is idle.
    Idle,
    /// The same, and dies at each append.
    Crashes,
    /// The program dies wherever it is.
    Crash,
    /// The program dies, and its checkpoints are lost.
    Duplicates,
    /// Two programs run the process until it is idle.
    Twins,
    /// Time passes.
    Time,
    /// Time passes, and the program dies at each append.
    TimeWithCrashes,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(next) => {
                let (stream, event) = &**next;
                write!(f, "{} happens to {stream}", event.event_type)
            }
            Self::Idle => f.write_str("the process runs until it is idle"),
            Self::Crashes => f.write_str("the process runs until it is idle, and dies at each append"),
            Self::Crash => f.write_str("the program dies, and starts again"),
            Self::Duplicates => f.write_str("the program dies, and starts again without its checkpoints"),
            Self::Twins => f.write_str("two programs run the process until it is idle"),
            Self::Time => f.write_str("time passes"),
            Self::TimeWithCrashes => f.write_str("time passes, and the program dies at each append"),
        }
    }
}

impl<P: Process> AnyOrder<P> {
    /// Events that happened before the process runs, in this order.
    ///
    /// # Panics
    /// If an event can't be stored.
    #[track_caller]
    pub fn given<A: Aggregate>(mut self, id: &A::Id, events: impl IntoIterator<Item = A::Event>) -> Self {
        self.given.push(encoded::<A>(id, events));
        self
    }

    /// Events that happen to an aggregate. Their order is kept; events of other aggregates happen before, between and after
    /// them.
    ///
    /// # Panics
    /// If an event can't be stored.
    #[track_caller]
    pub fn input<A: Aggregate>(mut self, id: &A::Id, events: impl IntoIterator<Item = A::Event>) -> Self {
        let (stream, events) = encoded::<A>(id, events);
        match self.inputs.iter_mut().find(|(known, _)| *known == stream) {
            Some((_, known)) => known.extend(events),
            None => self.inputs.push((stream, events)),
        }
        self
    }

    /// The number of orders. 50 unless set.
    pub const fn runs(mut self, runs: u64) -> Self {
        self.runs = runs;
        self
    }

    /// The time that passes behind the last input, so that timers are due. None unless set. With tokio's paused clock and a
    /// memory store it takes no time.
    pub const fn then_wait(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Runs the orders, each on a new store, and lets the closure check each outcome.
    ///
    /// # Panics
    /// If the closure panics in some order, or the process does not become idle.
    pub async fn keeps<S: Store>(self, open: impl Fn() -> S, promise: impl AsyncFn(&RunningProcess<P>)) {
        for seed in self.seeds(0) {
            let mut run = RunningProcess::prepare(Arc::new(open()));
            self.play(seed, &mut run, &promise).await;
        }
    }

    /// Runs the orders, each on a new store. The closure must read the same value at the end of all orders.
    ///
    /// # Panics
    /// If it is not the same in some order, or the process does not become idle.
    pub async fn agrees<S: Store, T: Debug + PartialEq>(
        self,
        open: impl Fn() -> S,
        read: impl AsyncFn(&RunningProcess<P>) -> T,
    ) {
        let mut first = RunningProcess::prepare(Arc::new(open()));
        let expected = self.play(0, &mut first, &read).await;
        for seed in self.seeds(1) {
            let mut run = RunningProcess::prepare(Arc::new(open()));
            let compare = async |run: &RunningProcess<P>| {
                let actual = read(run).await;
                if actual != expected {
                    let diff = diff(&format!("{expected:#?}"), &format!("{actual:#?}"));
                    fail(&format!(
                        "another outcome than in the order as written (- as written, + in this order):\n{diff}"
                    ));
                }
            };
            self.play(seed, &mut run, &compare).await;
        }
    }

    fn seeds(&self, first: u64) -> Range<u64> {
        match std::env::var(SEED_VARIABLE).map(|seed| seed.parse::<u64>()) {
            Ok(Ok(seed)) => seed..seed + 1,
            Ok(Err(error)) => fail(&format!("{SEED_VARIABLE} is no seed: {error}")),
            Err(_) => first..self.runs.max(first + 1),
        }
    }

    /// Plays one order, and calls the closure at the end. Its panics are told with the order.
    async fn play<T>(&self, seed: u64, run: &mut RunningProcess<P>, end: &impl AsyncFn(&RunningProcess<P>) -> T) -> T {
        let mut random = fastrand::Rng::with_seed(seed);
        let moves = self.moves(seed, &mut random);
        let playing = async {
            for (stream, events) in &self.given {
                run.append_data(stream.clone(), events.clone()).await;
            }
            run.restart();
            for next in &moves {
                self.make(next, run, &mut random).await;
            }
            end(run).await
        };
        match AssertUnwindSafe(playing).catch_unwind().await {
            Ok(answer) => answer,
            Err(panic) => {
                let order = moves.iter().map(|next| format!("  {next}\n")).collect::<String>();
                let (message, log) = (text(&*panic), run.log().await);
                fail(&format!(
                    "{message}\nin the order of seed {seed}:\n{order}To run it alone: {SEED_VARIABLE}={seed}\n\
                     The log:\n{log}"
                ))
            }
        }
    }

    fn moves(&self, seed: u64, random: &mut fastrand::Rng) -> Vec<Move> {
        let mut streams: Vec<_> =
            self.inputs.iter().map(|(stream, events)| (stream, events.iter().peekable())).collect();
        let mut moves = Vec::new();
        loop {
            streams.retain_mut(|(_, events)| events.peek().is_some());
            let place = if seed == 0 { 0 } else { random.usize(..streams.len().max(1)) };
            let Some((stream, events)) = streams.get_mut(place) else { break };
            moves.extend(events.next().map(|event| Move::Append(Box::new(((*stream).clone(), event.clone())))));
            moves.extend(between(seed, random));
        }
        if seed == 0 {
            moves.extend([Move::Idle, Move::Time]);
        } else {
            let time = if random.bool() { Move::Time } else { Move::TimeWithCrashes };
            moves.extend([Move::Crashes, time, Move::Duplicates, Move::Idle]);
        }
        moves
    }

    async fn make(&self, next: &Move, run: &mut RunningProcess<P>, random: &mut fastrand::Rng) {
        match next {
            Move::Append(next) => {
                let (stream, event) = (**next).clone();
                run.append_data(stream, vec![event]).await;
            }
            Move::Idle => run.idle().await,
            Move::Crashes => run.idle_with_crashes().await,
            Move::Crash => {
                // A few turns of its tasks, so that it dies amid its work.
                for _ in 0..random.u32(..40) {
                    tokio::task::yield_now().await;
                }
                run.crash();
            }
            Move::Duplicates => run.crash_without_checkpoints().await,
            Move::Twins => {
                let second = run.second();
                run.idle().await;
                drop(second);
            }
            Move::Time => run.pass(self.time).await,
            Move::TimeWithCrashes => run.pass_with_crashes(self.time).await,
        }
    }
}

/// The action between two inputs, if any.
fn between(seed: u64, random: &mut fastrand::Rng) -> Option<Move> {
    if seed == 0 {
        return Some(Move::Idle);
    }
    match random.u32(..8) {
        0 | 1 => None,
        2 => Some(Move::Idle),
        3 => Some(Move::Crash),
        4 => Some(Move::Duplicates),
        5 => Some(Move::Twins),
        _ => Some(Move::Crashes),
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic".to_owned())
}

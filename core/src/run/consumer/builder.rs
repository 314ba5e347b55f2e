//! Starting consumers: one task each, an owner for all, progress as data.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::concurrent::Concurrent;
use super::consumers::{Consumers, Positions};
use super::filter::FilterChange;
use super::keeper::Keeper;
use super::registry::{CheckFn, Registered, Registry, Running};
use super::reporter::Reporter;
use super::supervise::{Frame, supervise};
use super::{ConsumerKind, RetryBudget, Runners, Sink, Source, StoreSource};
use crate::dispatch::Engine;
use crate::run::process_status::RunningProcess;
use crate::run::projection::Projecting;
use crate::run::reaction::{Calling, Reacting};
use crate::{Activity, BoxError, Check, Event, Projection, Reaction, ReadModel};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Start = Box<dyn FnOnce(Frame, FilterChange) -> Result<Task, BoxError> + Send>;

/// Consumers to start together: projections, reactions, and sinks of the application's own.
#[must_use = "nothing runs until it is started"]
pub struct ConsumersBuilder {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    budget: RetryBudget,
    entries: Vec<Entry>,
    processes: Vec<Arc<dyn RunningProcess>>,
    checks: Vec<CheckFn>,
}

struct Entry {
    kind: ConsumerKind,
    name: Arc<str>,
    runners: Runners,
    on_change: FilterChange,
    /// The application is not ready before it has caught up.
    waited_for: bool,
    positions: Positions,
    start: Start,
}

impl ConsumersBuilder {
    pub(crate) fn new(engine: Arc<Engine>, registry: Arc<Registry>) -> Self {
        Self {
            engine,
            registry,
            budget: RetryBudget::default(),
            entries: Vec::new(),
            processes: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Adds a projection that writes to this read model. Add an `Arc` of it to keep a handle.
    pub fn projection<P: Projection>(mut self, projection: P, read_model: P::ReadModel) -> Self {
        let (name, runners) = (Arc::from(projection.name()), read_model.runners().clone());
        let engine = Arc::clone(&self.engine);
        let start: Start = Box::new(move |frame, on_change| {
            engine.names.claim_events::<P::Event>()?;
            let source = StoreSource::new(Arc::clone(&engine.store), frame.title(), P::Event::query());
            let task = Projecting::new(frame.clone(), source, projection, read_model, on_change);
            Ok(Box::pin(supervise(frame, task)))
        });
        self.entries.push(Entry {
            kind: ConsumerKind::Projection,
            name,
            runners,
            on_change: FilterChange::Refuse,
            waited_for: false,
            positions: Positions { of_store: true, any: true },
            start,
        });
        self
    }

    /// Adds a reaction.
    pub fn reaction<R: Reaction>(self, reaction: R) -> Self {
        let name = Arc::from(reaction.name());
        let engine = Arc::clone(&self.engine);
        self.concurrent(ConsumerKind::Reaction, name, move |frame| {
            engine.names.claim_events::<R::Event>()?;
            let source = StoreSource::new(Arc::clone(&engine.store), frame.title(), R::Event::query());
            Ok((source, Reacting::new(engine, reaction)?))
        })
    }

    /// Adds an activity.
    pub fn activity<A: Activity>(self, activity: A) -> Self {
        let name = Arc::from(activity.name());
        let engine = Arc::clone(&self.engine);
        self.concurrent(ConsumerKind::Activity, name, move |frame| {
            engine.names.claim_events::<A::Event>()?;
            let source = StoreSource::new(Arc::clone(&engine.store), frame.title(), A::Event::query());
            Ok((source, Calling::new(engine, activity)?))
        })
    }

    /// Adds a sink that handles the items of a source. The name is that of its checkpoint.
    pub fn consumer<S: Source, K: Sink<Item = S::Item>>(self, name: &str, source: S, sink: K) -> Self {
        self.consumer_of_kind(ConsumerKind::Sink, name, source, sink)
    }

    /// Adds a consumer of another kind, for crates that build on this one. The name is that of its checkpoint, within its
    /// kind.
    pub fn consumer_of_kind<S: Source, K: Sink<Item = S::Item>>(
        self,
        kind: ConsumerKind,
        name: &str,
        source: S,
        sink: K,
    ) -> Self {
        self.concurrent(kind, name.into(), move |_| Ok((source, sink)))
    }

    /// Adds a check to the application's health, as long as the consumers run.
    pub fn check(mut self, check: impl Fn() -> Check + Send + Sync + 'static) -> Self {
        self.checks.push(Arc::new(check));
        self
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Adds a process, for the status and the health of the application.
    pub(crate) fn running_process(mut self, process: Arc<dyn RunningProcess>) -> Self {
        self.processes.push(process);
        self
    }

    pub(crate) fn concurrent<S: Source, K: Sink<Item = S::Item>>(
        mut self,
        kind: ConsumerKind,
        name: Arc<str>,
        parts: impl FnOnce(&Frame) -> Result<(S, K), BoxError> + Send + 'static,
    ) -> Self {
        let store = Arc::clone(&self.engine.store);
        let start: Start = Box::new(move |frame, on_change| {
            let key = Keeper::key(frame.kind, &frame.name)?;
            let keeper = Keeper {
                store,
                consumer: frame.title(),
                key,
                on_change: Some(on_change),
                shared: frame.kind == ConsumerKind::Process,
            };
            let (source, sink) = parts(&frame)?;
            Ok(Box::pin(supervise(frame.clone(), Concurrent::new(frame, source, sink, keeper))))
        });
        // These keep no checkpoint, so that several of a name do each other no harm.
        let runners = if matches!(kind, ConsumerKind::Announcer | ConsumerKind::Discovery) {
            Runners::default()
        } else {
            self.registry.runners.clone()
        };
        let positions = Positions { of_store: S::FOLLOWS_STORE, any: S::HAS_POSITIONS };
        let on_change = FilterChange::Refuse;
        self.entries.push(Entry { kind, name, runners, on_change, waited_for: false, positions, start });
        self
    }

    /// How the consumer that was added last goes on if it selects other events than those that its checkpoint was made
    /// of, for example since an event type was added to its union. Unless set, it refuses to start then.
    pub fn on_filter_change(mut self, choice: FilterChange) -> Self {
        if let Some(last) = self.entries.last_mut() {
            last.on_change = choice;
        }
        self
    }

    /// The application is [`Starting`](crate::Condition::Starting), so not ready for requests, until the consumer that was
    /// added last has caught up for the first time.
    pub fn wait_at_start(mut self) -> Self {
        if let Some(last) = self.entries.last_mut() {
            last.waited_for = true;
        }
        self
    }

    /// How an event that fails is tried again before its consumer stops. For 30 seconds unless set.
    pub fn retry(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Starts them all. Each goes on from its own checkpoint; one that fails stops alone. A second consumer of the same
    /// kind, name and place is refused: its status is [`Stopped`](crate::Status::Stopped).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Consumers {
        let Self { engine, registry, entries, processes, checks, budget } = self;
        let (shutdown, stop) = watch::channel(false);
        let (handle, mut tasks) = (Arc::new(()), JoinSet::new());
        for process in processes {
            registry.add_process(Arc::downgrade(&handle), process);
        }
        for check in checks {
            registry.add_check(Arc::downgrade(&handle), check);
        }
        let start = |Entry { kind, name, runners, on_change, waited_for, positions, start }| {
            let (reporter, progress) = Reporter::new(kind, &name);
            let metrics = Arc::new(engine.metrics.consumer(kind.name(), &name));
            let frame = Frame {
                kind,
                name,
                reporter: Arc::new(reporter),
                budget,
                shutdown: stop.clone(),
                metrics: Arc::clone(&metrics),
                trace_context: engine.trace_context.clone(),
            };
            let mut task = None;
            match runners.claim(&frame.title(), Arc::downgrade(&handle), progress.clone()) {
                Err(taken) => frame.stop(&taken),
                Ok(earlier) => match start(frame.clone(), on_change) {
                    Ok(work) => {
                        let first = async move { earlier.ended(&frame).await };
                        task = Some(tasks.spawn(async move {
                            if first.await {
                                work.await;
                            }
                        }));
                    }
                    Err(error) => frame.stop(&*error),
                },
            }
            let running = Running { handle: Arc::downgrade(&handle), shutdown: shutdown.clone(), task };
            registry.add(Registered::new(progress.clone(), running, waited_for, positions.of_store, metrics));
            (progress, positions)
        };
        let started = entries.into_iter().map(start).collect();
        Consumers { started, shutdown, tasks, _handle: handle }
    }
}

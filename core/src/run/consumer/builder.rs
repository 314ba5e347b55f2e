//! Starting consumers: one task each, an owner for all, progress as data.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::concurrent::Concurrent;
use super::filter::FilterChange;
use super::keeper::Keeper;
use super::progress::Reporter;
use super::registry::{Registered, Registry, Running};
use super::runners::NameTaken;
use super::supervise::{Frame, supervise};
use super::{ConsumerKind, Progress, RetryBudget, Runners, Sink, Source, StoreSource};
use crate::dispatch::Engine;
use crate::run::projection::Projecting;
use crate::run::reaction::Reacting;
use crate::{BoxError, Event, Position, Projection, Reaction, ReadModel};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Start = Box<dyn FnOnce(Frame, FilterChange) -> Result<Task, BoxError> + Send>;

/// Consumers to start together: projections, reactions, and sinks of the application's own.
#[must_use = "nothing runs until it is started"]
pub struct ConsumersBuilder {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    budget: RetryBudget,
    entries: Vec<Entry>,
}

struct Entry {
    kind: ConsumerKind,
    name: Arc<str>,
    runners: Runners,
    on_change: FilterChange,
    /// The application is not ready before it has caught up.
    waited_for: bool,
    /// Its positions are those of the store.
    follows_store: bool,
    start: Start,
}

impl ConsumersBuilder {
    pub(crate) fn new(engine: Arc<Engine>, registry: Arc<Registry>) -> Self {
        Self { engine, registry, budget: RetryBudget::default(), entries: Vec::new() }
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
            follows_store: true,
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

    /// Adds a sink that handles the items of a source. The name is that of its checkpoint.
    pub fn consumer<S: Source, K: Sink<Item = S::Item>>(self, name: &str, source: S, sink: K) -> Self {
        self.concurrent(ConsumerKind::Sink, name.into(), move |_| Ok((source, sink)))
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
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
            let keeper = Keeper { store, consumer: frame.title(), key, on_change };
            let (source, sink) = parts(&frame)?;
            Ok(Box::pin(supervise(frame.clone(), Concurrent { frame, source, sink, keeper })))
        });
        let runners = self.registry.runners.clone();
        let (on_change, follows_store) = (FilterChange::Refuse, S::FOLLOWS_STORE);
        self.entries.push(Entry { kind, name, runners, on_change, waited_for: false, follows_store, start });
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
        let Self { engine, registry, entries, budget } = self;
        let (shutdown, stop) = watch::channel(false);
        let (handle, mut tasks) = (Arc::new(()), JoinSet::new());
        let start = |Entry { kind, name, runners, on_change, waited_for, follows_store, start }| {
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
            if !runners.claim(&frame.title(), Arc::downgrade(&handle), progress.clone()) {
                frame.stop(&NameTaken { consumer: frame.title() });
            } else {
                match start(frame.clone(), on_change) {
                    Ok(work) => task = Some(tasks.spawn(work)),
                    Err(error) => frame.stop(&*error),
                }
            }
            let running = Running { handle: Arc::downgrade(&handle), shutdown: shutdown.clone(), task };
            registry.add(Registered::new(progress.clone(), running, waited_for, follows_store, metrics));
            Watched { progress, follows_store }
        };
        let watched = entries.into_iter().map(start).collect();
        Consumers { watched, shutdown, tasks, _handle: handle }
    }
}

/// Consumers that run. Dropping this stops them at once, between or within transactions: nothing is half written.
#[derive(Debug)]
pub struct Consumers {
    watched: Vec<Watched>,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Gone as soon as this is dropped, so that the names are free again.
    _handle: Arc<()>,
}

/// The progress of a consumer.
#[derive(Debug)]
struct Watched {
    progress: watch::Receiver<Progress>,
    /// Its positions are those of the store.
    follows_store: bool,
}

impl Consumers {
    /// How far each is, in the order in which they were added.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.watched.iter().map(|watched| watched.progress.borrow().clone()).collect()
    }

    /// Waits until every consumer of the store's events has handled everything up to this position: reading your own writes.
    /// Consumers of other sources, such as a broker or the timers of a process, have no such positions.
    /// Returns only after each sink is set up and its checkpoint was found in the store, even if the store is empty.
    ///
    /// # Errors
    /// The progress of a consumer that stopped before it got there.
    ///
    /// # Cancel safety
    /// Only waits: it can be dropped at any point.
    pub async fn wait_for(&self, position: Position) -> Result<(), Progress> {
        for Watched { progress, .. } in self.watched.iter().filter(|watched| watched.follows_store) {
            wait_for(progress, position).await?;
        }
        Ok(())
    }

    /// Waits until the consumers of this name have handled everything up to this position.
    ///
    /// # Errors
    /// The progress of a consumer that stopped before it got there, also if there is none of this name.
    ///
    /// # Cancel safety
    /// Only waits: it can be dropped at any point.
    pub async fn wait_for_one(&self, name: &str, position: Position) -> Result<(), Progress> {
        let all = self.watched.iter().map(|watched| &watched.progress);
        let mut named = all.filter(|progress| &*progress.borrow().name == name).peekable();
        if named.peek().is_none() {
            return Err(Progress::missing(name));
        }
        for progress in named {
            wait_for(progress, position).await?;
        }
        Ok(())
    }

    /// Lets each finish its transaction or the items that it handles, then stops them.
    pub async fn shutdown(mut self) {
        self.shutdown.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "consumer task panicked");
            }
        }
    }
}

async fn wait_for(progress: &watch::Receiver<Progress>, position: Position) -> Result<(), Progress> {
    let mut progress = progress.clone();
    // An error means that the task is gone; its last progress is still there.
    let _ = progress.wait_for(|now| now.has_reached(position) || now.is_over()).await;
    let now = progress.borrow().clone();
    if now.has_reached(position) { Ok(()) } else { Err(now) }
}

//! The handle that applications hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::Schema;

use crate::dispatch::{Decide, Dispatch, DispatchJson, Engine, EngineSettings, Load, Retry, Route};
use crate::domain::names::CheckedNames;
use crate::health::StoreProbe;
use crate::run::Registry;
use crate::store::sweep_keys;
use crate::{
    Aggregate, Apply, BoxError, Checkpoint, Command, Commands, ConsumersBuilder, Decision, HandleWith, IdempotencyKey,
    KeyOutcome, LoadError, MessageMetrics, Metadata, NameError, Processes, Query, StateError, Store, StoreSource,
    Subscription, Timestamp, TraceContext,
};

/// An application's way to its events: commands and decisions in, aggregates and subscriptions out.
///
/// Cheap to clone; clones share the store, the cache of warm aggregates, and the consumers.
///
/// Everything it starts is described before it is awaited:
///
/// ```
/// # use recount_core::{Aggregate, Apply, Command, DispatchError, HandleWith, IdempotencyKey, Recount};
/// # async fn f<A, C>(recount: Recount, command: C, id: A::Id) -> Result<(), Box<dyn std::error::Error>>
/// # where A: Apply + HandleWith<C>, C: Command<Aggregate = A> {
/// let receipt = recount.dispatch(command).idempotency_key(IdempotencyKey::new("request 17")?).actor("ada").await?;
/// let before: A = recount.load(&id).at_version(receipt.version.get() - 1).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Recount {
    /// Loads, decides and appends.
    pub(crate) engine: Arc<Engine>,
    /// The consumers that were started.
    pub(crate) registry: Arc<Registry>,
    pub(crate) store_probe: Arc<StoreProbe>,
    /// The age from which keys are forgotten; none to keep them for ever.
    key_retention: Option<Duration>,
}

impl Recount {
    /// A handle on this store with the default settings.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self::builder(store).build()
    }

    /// A handle on this store with settings of your own.
    pub fn builder(store: impl Store) -> RecountBuilder {
        RecountBuilder { store: Arc::new(store), engine: EngineSettings::default(), key_retention: None }
    }

    /// Dispatches a command: loads its aggregate, decides, and appends the events. Commands for one aggregate are
    /// decided one after the other, each on the state after the one before; those that wait while one is being
    /// recorded are then recorded in one append. On a conflict with another process they are decided again on
    /// the newer state.
    ///
    /// Where the aggregates of a type that are met for the first time are new ones again and again, the next is decided on
    /// as if it were new, without a read, and its append finds out. If that was wrong, or nothing is to be
    /// written, the outcome doesn't count: the aggregate is loaded, and the command decided again.
    pub fn dispatch<A: Apply + HandleWith<C>, C: Command<Aggregate = A>>(&self, command: C) -> Dispatch<'_, C> {
        Dispatch::new(&self.engine, command)
    }

    /// Dispatches a command of a [registered](RecountBuilder::register) aggregate, given by name and JSON.
    pub fn dispatch_json<'a>(&'a self, aggregate: &'a str, command: &'a str, json: &'a [u8]) -> DispatchJson<'a> {
        DispatchJson::new(&self.engine, aggregate, command, json)
    }

    /// Dispatches commands one after the other, for crates that build on this one. `key` makes the idempotency key of a
    /// command that has none of its own, from its index.
    ///
    /// # Errors
    /// The first failure; the commands after it are not dispatched. An error that time heals is
    /// [transient](crate::is_transient).
    ///
    /// # Cancel safety
    /// Dropped, some may have taken effect. Repeat the call with the same keys.
    pub async fn dispatch_commands(
        &self,
        commands: &Commands,
        metadata: &Metadata,
        key: impl Fn(usize) -> Result<IdempotencyKey, NameError> + Send,
    ) -> Result<(), BoxError> {
        commands.dispatch(&self.engine, metadata, key).await
    }

    /// The outcome of the request with this idempotency key, if it has one.
    ///
    /// # Errors
    /// [`LoadError`] if the store fails.
    pub async fn outcome(&self, key: &IdempotencyKey) -> Result<Option<KeyOutcome>, LoadError> {
        self.engine.outcome(key).await
    }

    /// Withdraws the request with this idempotency key, if it has no outcome: it never takes effect then, even if it is
    /// under way. Returns the outcome. The withdrawal is an event of type `recount.withdrawn` in the stream
    /// `recount.withdrawn/KEY`.
    ///
    /// # Errors
    /// [`LoadError`] if the store fails.
    pub async fn withdraw(&self, key: &IdempotencyKey, metadata: Metadata) -> Result<KeyOutcome, LoadError> {
        self.engine.withdraw(key, metadata).await
    }

    /// The metrics of a relay or an inbox: by the kind of broker, the topic, and the name of the consumer.
    #[must_use]
    pub fn message_metrics(&self, system: &'static str, topic: &str, consumer: &str) -> MessageMetrics {
        self.engine.metrics.messages(system, topic, consumer)
    }

    /// How spans are connected with a distributed trace, if that was set.
    #[must_use]
    pub fn trace_context(&self) -> Option<&Arc<dyn TraceContext>> {
        self.engine.trace_context.as_ref()
    }

    /// Makes a decision over the events that it names, and records it only if none was added meanwhile.
    pub fn decide<D: Decision>(&self, decision: D) -> Decide<'_, D> {
        Decide::new(&self.engine, decision)
    }

    /// Loads an aggregate as it is now, or narrowed to a point in the past.
    pub fn load<A: Apply>(&self, id: &A::Id) -> Load<'_, A> {
        Load::new(&self.engine, id)
    }

    /// Subscribes to the events that the query selects: the recorded ones after this checkpoint, and then each new one.
    ///
    /// With a stored [checkpoint](Subscription::checkpoint) the subscription fails if the store lacks the handled
    /// events. With a bare position it can only compare the position with the store's head.
    pub fn subscribe(&self, query: Query, after: impl Into<Checkpoint>) -> Subscription {
        Subscription::new(Arc::clone(&self.engine.store), "the subscription".to_owned(), query, after.into())
    }

    /// Starts consumers: projections, reactions, and sinks of your own.
    pub fn consumers(&self) -> ConsumersBuilder {
        ConsumersBuilder::new(Arc::clone(&self.engine), Arc::clone(&self.registry))
    }

    /// The processes of the store, as data, and orders to instances that can't go on.
    #[must_use]
    pub fn processes(&self) -> Processes {
        Processes::new(Arc::clone(&self.engine.store))
    }

    /// The source of the events that the query selects, for a [consumer](ConsumersBuilder::consumer) of your own.
    /// `reader` names it in errors.
    #[must_use]
    pub fn source(&self, reader: &str, query: Query) -> StoreSource {
        StoreSource::new(Arc::clone(&self.engine.store), format!("consumer {reader}"), query)
    }

    /// Removes an aggregate for good: its events and its snapshot. Its id is never used again. Again is harmless.
    ///
    /// # Errors
    /// [`StateError::Store`] if the stream doesn't exist or the store fails; then repeat it. Also if another type has the
    /// aggregate's name.
    pub async fn erase<A: Aggregate>(&self, id: &A::Id) -> Result<(), StateError> {
        self.engine.erase::<A>(id).await
    }

    /// Forgets the idempotency keys that are older than the [retention](RecountBuilder::key_retention), in batches between
    /// which appends go on. Returns their number, 0 without a retention. Call it from time to time, such as once an hour;
    /// several processes may do so at once.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError) if the store fails. The keys forgotten until then stay forgotten; the next
    /// call goes on.
    pub async fn sweep_keys(&self) -> Result<u64, crate::StoreError> {
        match self.key_retention {
            Some(retention) => sweep_keys(&*self.engine.store, retention).await,
            None => Ok(0),
        }
    }

    /// The commands of the registered aggregates: aggregate, command, and the JSON Schema of the command.
    pub fn commands(&self) -> impl Iterator<Item = (&'static str, &'static str, Schema)> + '_ {
        self.engine.routes.iter().map(|((aggregate, command), route)| (*aggregate, *command, (route.schema)()))
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.engine.store
    }

    /// Finishes the appends under way and closes the store. Shut down consumers first, or use [`shutdown`](Self::shutdown).
    pub async fn close(&self) {
        self.finish_background().await;
        self.engine.store.close().await;
    }
}

impl fmt::Debug for Recount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recount").field("retry", &self.engine.retry).finish_non_exhaustive()
    }
}

/// Settings of a [`Recount`].
#[must_use]
pub struct RecountBuilder {
    store: Arc<dyn Store>,
    engine: EngineSettings,
    key_retention: Option<Duration>,
}

impl RecountBuilder {
    /// How many aggregates are kept in memory at most, so that their commands need no read. 10,000 unless set.
    pub fn warm_aggregates(mut self, count: usize) -> Self {
        self.engine.warm_aggregates = count;
        self
    }

    /// How conflicts are retried.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.engine.retry = retry;
        self
    }

    /// Where handlers get the time from; tests set it.
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.engine.clock = Arc::new(clock);
        self
    }

    /// How long idempotency keys are kept at least, by the store's clock. For ever unless set. Older keys are forgotten by
    /// [`Recount::sweep_keys`], together with their outcomes; a request that is repeated after that is carried out as a
    /// new one. So the retention must be longer than any caller repeats a request, than any reaction may be behind, and
    /// than any instance of a [`Process`](crate::Process) lives: its commands take effect once because of their keys.
    ///
    /// Outcomes without events and kept refusals are forgotten as well. The event of a kept refusal stays in its stream,
    /// `recount.refused/KEY`; if the repeated request is refused again, the stream gets another one.
    pub fn key_retention(mut self, retention: Duration) -> Self {
        self.key_retention = Some(retention);
        self
    }

    /// How spans are connected with a distributed trace. Without it, the `traceparent` that a command's metadata carries
    /// is stored unchanged.
    pub fn trace_context(mut self, context: impl TraceContext) -> Self {
        self.engine.trace_context = Some(Arc::new(context));
        self
    }

    /// Makes the commands of this aggregate reachable by name. A command that two aggregates of one name have is refused when it
    /// is dispatched.
    pub fn register<A: Apply>(mut self) -> Self {
        for route in A::commands() {
            let (name, route) = ((A::NAME, route.name), Route::new(route));
            self.engine.routes.entry(name).and_modify(|known| known.meet(A::NAME, &route)).or_insert(route);
        }
        self.engine.claims.push(CheckedNames::claim_aggregate::<A>);
        self
    }

    /// The handle. With the feature `metrics` it records metrics if a recorder of the `metrics` facade was installed before.
    #[must_use]
    pub fn build(self) -> Recount {
        let Self { store, engine, key_retention } = self;
        Recount {
            engine: Arc::new(Engine::new(store, engine)),
            registry: Arc::default(),
            store_probe: Arc::default(),
            key_retention,
        }
    }
}

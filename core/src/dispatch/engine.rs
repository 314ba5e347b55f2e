//! The engine that dispatches commands: the store, the cache of warm aggregates, and the settings.

use std::sync::Arc;

use super::background::Background;
use super::cache::WarmCache;
use super::route::Routes;
use super::{Retry, snapshot};
use crate::domain::names::CheckedNames;
use crate::telemetry::Metrics;
use crate::{Aggregate, NameCollision, StateError, Store, StoreError, Timestamp, TraceContext};

/// Tells the time. Handlers see it as [`Context::now`](crate::Context::now).
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything that loading, deciding and appending need.
pub(crate) struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(super) cache: WarmCache,
    pub(crate) retry: Retry,
    pub(super) clock: Clock,
    pub(crate) routes: Routes,
    /// The stored names in use. Consumers claim theirs here, too.
    pub(crate) names: CheckedNames,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) trace_context: Option<Arc<dyn TraceContext>>,
    /// The tasks that dispatch has started.
    pub(crate) background: Background,
}

/// Claims the names of a registered aggregate.
pub(crate) type Claim = fn(&CheckedNames) -> Result<(), NameCollision>;

/// Settings of an [`Engine`].
pub(crate) struct EngineSettings {
    /// The capacity of the cache.
    pub(crate) warm_aggregates: usize,
    pub(crate) retry: Retry,
    pub(crate) clock: Clock,
    pub(crate) routes: Routes,
    /// Claims the names of the registered aggregates.
    pub(crate) claims: Vec<Claim>,
    pub(crate) trace_context: Option<Arc<dyn TraceContext>>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            warm_aggregates: 10_000,
            retry: Retry::default(),
            clock: Arc::new(Timestamp::now),
            routes: Routes::new(),
            claims: Vec::new(),
            trace_context: None,
        }
    }
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn Store>, settings: EngineSettings) -> Self {
        let EngineSettings { warm_aggregates, retry, clock, routes, claims, trace_context } = settings;
        let names = CheckedNames::beside(store.names());
        for claim in claims {
            // A collision is reported to the caller that uses the aggregate.
            drop(claim(&names));
        }
        let metrics = Arc::new(Metrics::new(store.kind(), &store.waits()));
        let cache = WarmCache::new(warm_aggregates, Arc::clone(&metrics));
        let background = Background::default();
        Self { store, cache, retry, clock, routes, names, metrics, trace_context, background }
    }

    /// Erases an aggregate: its place in the cache, its stream, and its snapshot.
    pub(crate) async fn erase<A: Aggregate>(&self, id: &A::Id) -> Result<(), StateError> {
        let refuse = |source| StoreError::Backend { operation: "erase", source };
        self.names.claim_aggregate::<A>().map_err(|error| refuse(error.into()))?;
        let stream = A::stream(id).map_err(|error| refuse(error.into()))?;
        self.cache.forget::<A>(&stream);
        self.store.erase(&stream).await?;
        snapshot::forget(&*self.store, &stream).await
    }
}

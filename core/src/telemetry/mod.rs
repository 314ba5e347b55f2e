//! Telemetry: the names of metrics and spans, the handles behind them, and the trace context. It records through the
//! `tracing` and `metrics` facades; the program chooses the collectors.

mod aggregate;
mod by_name;
mod consumer;
mod context;
mod handle;
mod health;
mod message;
mod metric;
mod process;
mod sampler;
mod store;

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;

use crate::StoreWaits;
pub(crate) use aggregate::{AggregateMetrics, CommandOutcome, Entry, LoadSource};
pub(crate) use consumer::ConsumerMetrics;
pub use context::TraceContext;
use handle::{Histogram, Registrar};
pub use health::{Check, Condition, Health};
pub use message::MessageMetrics;
pub use metric::{DURATION_BUCKETS, METRICS, Metric, MetricKind, SIZE_BUCKETS};
pub(crate) use process::ProcessMetrics;
pub(crate) use sampler::Sampler;
pub(crate) use store::{PendingAppend, ReadKind, StoreMetrics};

/// The target of recount's spans: a filter on it switches them off.
pub const TRACE_TARGET: &str = "recount::trace";

/// The metric handles of one [`Recount`](crate::Recount). They do nothing if no recorder was installed when it was built.
pub(crate) struct Metrics {
    registrar: Registrar,
    /// Chooses the commands that are timed.
    pub(crate) commands: Sampler,
    /// How many commands share an append.
    pub(crate) shared: Histogram,
    pub(crate) store: StoreMetrics,
    aggregates: RwLock<HashMap<TypeId, Arc<AggregateMetrics>, RandomState>>,
}

impl Metrics {
    pub(crate) fn new(store: &'static str, waits: &StoreWaits) -> Self {
        let registrar = Registrar::detect();
        let version = [("version", env!("CARGO_PKG_VERSION")), ("store", store)];
        registrar.gauge(&metric::BUILD_INFO, &version).set(1.0);
        Self {
            registrar,
            commands: registrar.sampler(),
            shared: registrar.histogram(&metric::COMMAND_SHARED, &[]),
            store: StoreMetrics::new(registrar, store, waits),
            aggregates: RwLock::default(),
        }
    }

    /// The handles of an aggregate type; for decisions, which have no aggregate, the name is empty.
    pub(crate) fn aggregate<A: 'static>(&self, name: &'static str) -> Arc<AggregateMetrics> {
        let id = TypeId::of::<A>();
        let aggregates = self.aggregates.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = aggregates.get(&id) {
            return Arc::clone(known);
        }
        drop(aggregates);
        let mut aggregates = self.aggregates.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(AggregateMetrics::new(self.registrar, name));
        Arc::clone(aggregates.entry(id).or_insert_with(fresh))
    }

    /// The handles of a process.
    pub(crate) fn process(&self, name: &'static str) -> ProcessMetrics {
        ProcessMetrics::new(self.registrar, name)
    }

    /// The handles of a relay or an inbox.
    pub(crate) fn messages(&self, system: &'static str, topic: &str, consumer: &str) -> MessageMetrics {
        MessageMetrics::new(self.registrar, system, topic, consumer)
    }

    /// The handles of a consumer of this kind.
    pub(crate) fn consumer(&self, kind: &'static str, name: &str) -> ConsumerMetrics {
        ConsumerMetrics::new(self.registrar, kind, name)
    }
}

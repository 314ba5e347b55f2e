//! The metric handles of an aggregate and its commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::by_name::ByName;
use super::handle::{Counter, Gauge, Histogram, Registrar};
use super::metric;
use super::sampler::Sampler;

/// How a command ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandOutcome {
    Accepted,
    Unchanged,
    Rejected,
    Conflict,
    Repeated,
    Failed,
}

impl CommandOutcome {
    const ALL: [Self; 6] =
        [Self::Accepted, Self::Unchanged, Self::Rejected, Self::Conflict, Self::Repeated, Self::Failed];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
            Self::Conflict => "conflict",
            Self::Repeated => "repeated",
            Self::Failed => "failed",
        }
    }
}

/// Where a load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadSource {
    Cache,
    Snapshot,
    Stream,
}

impl LoadSource {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Snapshot => "snapshot",
            Self::Stream => "stream",
        }
    }
}

/// The handles of one aggregate type.
pub(crate) struct AggregateMetrics {
    registrar: Registrar,
    aggregate: &'static str,
    commands: ByName<CommandMetrics, 1>,
    pub(crate) conflicts: Counter,
    attempts: Histogram,
    queue_wait: Histogram,
    loads: [Histogram; 3],
    /// Chooses the loads from the cache that are timed.
    cached_loads: Sampler,
    replayed: Histogram,
    pub(crate) hits: Counter,
    misses: Counter,
    entries: Gauge,
    pub(crate) snapshot_writes: Counter,
    pub(crate) snapshot_failures: Counter,
}

/// The handles of one command, by outcome.
struct CommandMetrics {
    counts: [Counter; 6],
    durations: [Histogram; 6],
}

impl AggregateMetrics {
    pub(super) fn new(registrar: Registrar, aggregate: &'static str) -> Self {
        let labels = [("aggregate", aggregate)];
        let load = |source: LoadSource| {
            registrar.histogram(&metric::LOAD_DURATION, &[("aggregate", aggregate), ("source", source.name())])
        };
        Self {
            registrar,
            aggregate,
            commands: ByName::new(),
            conflicts: registrar.counter(&metric::CONFLICTS, &labels),
            attempts: registrar.histogram(&metric::COMMAND_ATTEMPTS, &labels),
            queue_wait: registrar.histogram(&metric::COMMAND_QUEUE_WAIT, &labels),
            loads: [load(LoadSource::Cache), load(LoadSource::Snapshot), load(LoadSource::Stream)],
            cached_loads: registrar.sampler(),
            replayed: registrar.histogram(&metric::REPLAYED, &labels),
            hits: registrar.counter(&metric::CACHE_HITS, &labels),
            misses: registrar.counter(&metric::CACHE_MISSES, &labels),
            entries: registrar.gauge(&metric::CACHE_ENTRIES, &labels),
            snapshot_writes: registrar.counter(&metric::SNAPSHOT_WRITES, &labels),
            snapshot_failures: registrar.counter(&metric::SNAPSHOT_FAILURES, &labels),
        }
    }

    /// Records the end of a command, and how long it took if it was timed.
    pub(crate) fn command(&self, name: &'static str, outcome: CommandOutcome, elapsed: Option<Duration>) {
        if !self.registrar.enabled() {
            return;
        }
        let command = self.commands.get(name, || self.register(name));
        command.counts[outcome as usize].add(1);
        command.durations[outcome as usize].record_time(elapsed);
    }

    fn register(&self, command: &'static str) -> CommandMetrics {
        let labels = |outcome: CommandOutcome| {
            [("aggregate", self.aggregate), ("command", command), ("outcome", outcome.name())]
        };
        CommandMetrics {
            counts: CommandOutcome::ALL.map(|outcome| self.registrar.counter(&metric::COMMANDS, &labels(outcome))),
            durations: CommandOutcome::ALL
                .map(|outcome| self.registrar.histogram(&metric::COMMAND_DURATION, &labels(outcome))),
        }
    }

    /// Records the number of attempts if there was more than one.
    pub(crate) fn attempts(&self, attempts: usize) {
        if attempts > 1 {
            self.attempts.record(attempts as f64);
        }
    }

    /// The present time, to measure a wait or a load, which is never frequent; `None` without a recorder.
    pub(crate) fn now(&self) -> Option<Instant> {
        self.registrar.enabled().then(Instant::now)
    }

    /// Records the end of a wait for the aggregate's turn.
    pub(crate) fn waited(&self, since: Option<Instant>) {
        self.queue_wait.record_time(since.map(|since| since.elapsed()));
    }

    /// The start of a load from the cache, if it is timed.
    pub(crate) fn cached_load(&self) -> Option<Instant> {
        self.hits.add(1);
        self.cached_loads.start()
    }

    /// The end of a load from the cache.
    pub(crate) fn loaded_from_cache(&self, started: Option<Instant>) {
        self.loads[LoadSource::Cache as usize].record_time(self.cached_loads.stop(started));
    }

    /// Records a load that was not served by the cache.
    pub(crate) fn loaded(&self, source: LoadSource, replayed: u64, since: Option<Instant>) {
        self.misses.add(1);
        self.loads[source as usize].record_time(since.map(|since| since.elapsed()));
        if replayed > 0 {
            self.replayed.record(replayed as f64);
        }
    }
}

/// An entry of the cache, counted until it is dropped.
pub(crate) struct Entry(Arc<AggregateMetrics>);

impl Entry {
    pub(crate) fn new(metrics: Arc<AggregateMetrics>) -> Self {
        metrics.entries.increment();
        Self(metrics)
    }

    pub(crate) fn metrics(&self) -> &Arc<AggregateMetrics> {
        &self.0
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.entries.decrement();
    }
}

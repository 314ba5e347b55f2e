//! The metric handles of a consumer: a projection, a reaction, or a sink of the application's own.

use std::time::{Duration, Instant};

use super::by_name::ByName;
use super::handle::{Counter, Gauge, Histogram, Registrar};
use super::metric;
use super::sampler::Sampler;

/// The handles of one consumer, made when it starts.
pub(crate) struct ConsumerMetrics {
    registrar: Registrar,
    kind: &'static str,
    name: String,
    /// Chooses the batches that are timed.
    batches: Sampler,
    position: Gauge,
    lag_events: Gauge,
    lag_time: Gauge,
    rebuild: Gauge,
    events: Counter,
    batch_duration: Histogram,
    batch_size: Histogram,
    failures: ByName<Counter, 1>,
    states: ByName<Gauge, 1>,
}

impl ConsumerMetrics {
    pub(super) fn new(registrar: Registrar, kind: &'static str, name: &str) -> Self {
        let labels = [("kind", kind), ("projection", name)];
        Self {
            registrar,
            kind,
            name: name.to_owned(),
            batches: registrar.sampler(),
            position: registrar.gauge(&metric::PROJECTION_POSITION, &labels),
            lag_events: registrar.gauge(&metric::PROJECTION_LAG_EVENTS, &labels),
            lag_time: registrar.gauge(&metric::PROJECTION_LAG_TIME, &labels),
            rebuild: registrar.gauge(&metric::REBUILD_PROGRESS, &labels),
            events: registrar.counter(&metric::PROJECTION_EVENTS, &labels),
            batch_duration: registrar.histogram(&metric::PROJECTION_BATCH_DURATION, &labels),
            batch_size: registrar.histogram(&metric::PROJECTION_BATCH_SIZE, &labels),
            failures: ByName::new(),
            states: ByName::new(),
        }
    }

    /// Whether a recorder takes the values.
    pub(crate) fn enabled(&self) -> bool {
        self.registrar.enabled()
    }

    /// Counts events that were handled.
    pub(crate) fn events(&self, count: u64) {
        self.events.add(count);
    }

    /// The start of a batch, if it is timed.
    pub(crate) fn start(&self) -> Option<Instant> {
        self.batches.start()
    }

    /// The end of a batch that succeeded.
    pub(crate) fn batch(&self, events: u64, started: Option<Instant>) {
        if let Some(elapsed) = self.batches.stop(started) {
            self.batch_size.record(events as f64);
            self.batch_duration.record(elapsed.as_secs_f64());
        }
    }

    /// Sets the part of a rebuild that is done.
    pub(crate) fn rebuilt(&self, part: f64) {
        self.rebuild.set(part);
    }

    /// Sets the position, and how far the store's head is from it.
    pub(crate) fn progress(&self, position: u64, lag: u64, age: Duration) {
        self.position.set(position as f64);
        self.lag_events.set(lag as f64);
        self.lag_time.set(age.as_secs_f64());
    }

    /// Counts a failure of this kind.
    pub(crate) fn failure(&self, error: &'static str) {
        let labels = [("kind", self.kind), ("projection", &*self.name), ("error.type", error)];
        self.failures.get(error, || self.registrar.counter(&metric::PROJECTION_FAILURES, &labels)).add(1);
    }

    /// Sets the present state, one of `all`.
    pub(crate) fn state(&self, present: &'static str, all: &[&'static str]) {
        for state in all {
            let labels = [("kind", self.kind), ("projection", &*self.name), ("state", *state)];
            let gauge = self.states.get(state, || self.registrar.gauge(&metric::PROJECTION_STATE, &labels));
            gauge.set(f64::from(u8::from(*state == present)));
        }
    }
}

//! The metric handles of a projection or reaction.
#![allow(dead_code, reason = "for what runs beside commands")]

use std::time::Duration;

use super::by_name::ByName;
use super::handle::{Counter, Gauge, Histogram, Registrar};
use super::metric;

/// The handles of one projection or reaction, made when it starts.
pub(crate) struct ProjectionMetrics {
    registrar: Registrar,
    name: String,
    version: String,
    position: Gauge,
    lag_events: Gauge,
    lag_time: Gauge,
    events: Counter,
    batch_duration: Histogram,
    batch_size: Histogram,
    failures: ByName<Counter, 1>,
    states: ByName<Gauge, 1>,
}

impl ProjectionMetrics {
    pub(super) fn new(registrar: Registrar, name: &str, version: &str) -> Self {
        let only = [("projection", name)];
        let both = [("projection", name), ("version", version)];
        Self {
            registrar,
            name: name.to_owned(),
            version: version.to_owned(),
            position: registrar.gauge(&metric::PROJECTION_POSITION, &both),
            lag_events: registrar.gauge(&metric::PROJECTION_LAG_EVENTS, &both),
            lag_time: registrar.gauge(&metric::PROJECTION_LAG_TIME, &both),
            events: registrar.counter(&metric::PROJECTION_EVENTS, &both),
            batch_duration: registrar.histogram(&metric::PROJECTION_BATCH_DURATION, &only),
            batch_size: registrar.histogram(&metric::PROJECTION_BATCH_SIZE, &only),
            failures: ByName::new(),
            states: ByName::new(),
        }
    }

    /// Records a batch that was committed.
    pub(crate) fn batch(&self, events: u64, elapsed: Duration) {
        self.events.add(events);
        self.batch_size.record(events as f64);
        self.batch_duration.record(elapsed.as_secs_f64());
    }

    /// Records the position, and how far the head is from it.
    pub(crate) fn progress(&self, position: u64, head: u64, lag: Duration) {
        self.position.set(position as f64);
        self.lag_events.set(head.saturating_sub(position) as f64);
        self.lag_time.set(lag.as_secs_f64());
    }

    /// Records a failure of this kind.
    pub(crate) fn failure(&self, kind: &'static str) {
        let labels = [("projection", &*self.name), ("error.type", kind)];
        self.failures.get(kind, || self.registrar.counter(&metric::PROJECTION_FAILURES, &labels)).add(1);
    }

    /// Records the present state, one of `all`.
    pub(crate) fn state(&self, present: &'static str, all: &[&'static str]) {
        for state in all {
            let labels = [("projection", &*self.name), ("version", &*self.version), ("state", *state)];
            let gauge = self.states.get(state, || self.registrar.gauge(&metric::PROJECTION_STATE, &labels));
            gauge.set(f64::from(u8::from(*state == present)));
        }
    }
}
